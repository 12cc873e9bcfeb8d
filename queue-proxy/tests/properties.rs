//! What must hold for any input: the same properties that the fuzz targets hunt for, on a stable
//! toolchain and in seconds.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_queue_proxy::environment::{Switch, keys, parse_go_integer};
use tidegate_queue_proxy::probe::spec;
use tidegate_queue_proxy::secrets::QueryRule;
use tidegate_queue_proxy::settings::Settings;
use tidegate_queue_proxy::template::{Data, Template, Value};

/// Text that is likely to mean something to a parser.
fn fragments(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "0x10",
    "8012",
    "65536",
    "off",
    "auto",
    "true",
    "yes",
    "",
    "{",
    "}",
    "[",
    "]",
    "null",
    "\"protocol\"",
    ":",
    ",",
    "\"tracing\"",
    "\"requestMetrics\"",
    "\"grpc\"",
    "99999999999",
];

const PROBES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "\"httpGet\"",
    "\"tcpSocket\"",
    "\"grpc\"",
    "\"port\"",
    "\"path\"",
    "8080",
    "-1",
    "\"a\"",
    "\"periodSeconds\"",
    "\"httpHeaders\"",
    "\"name\"",
];

const TEMPLATES: &[&str] = &[
    "{{", "}}", "{{-", "-}}", " ", ".A", ".Bb", "js", "index", "printf", "\"%5d\"", "\"%\"", "(",
    ")", "|", "if", "else", "end", "eq", "and", "1", "-1.5", "\"x", "`", "$", "/*", "*/", "range",
];

struct Anything;

impl Data for Anything {
    fn lookup(&self, path: &[&str], arguments: &[Value]) -> Option<Value> {
        match path.last()?.len() {
            1 => Some(Value::Text("text".to_owned())),
            2 => Some(Value::Int(i64::try_from(arguments.len()).unwrap_or(0))),
            _ => None,
        }
    }
}

proptest! {
    #[test]
    fn any_environment_is_settings_or_named_problems(
        values in prop::collection::vec((0..keys::ALL.len(), fragments(VALUES)), 0..40),
    ) {
        let named = |(index, value): (usize, String)| (keys::ALL[index].name.to_owned(), value);
        let environment: BTreeMap<String, String> = values.into_iter().map(named).collect();
        if let Err(problems) = Settings::from_environment(&environment) {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(keys::ALL.iter().any(|variable| variable.name == problem.key));
            }
        }
    }

    #[test]
    fn any_probe_is_understood_or_refused(
        json in fragments(PROBES),
        several in any::<bool>(),
    ) {
        let several = if several { Switch::On } else { Switch::Off };
        let _ = spec::parse(&json, spec::Reading { several, ..spec::Reading::default() });
    }

    #[test]
    fn a_secret_behind_its_name_is_never_shown(
        place in ".{0,20}",
        before in "[a-z=&;#?%/@: \t\\p{L}]{0,20}",
        after in "[a-z=&;#?%/@: \t]{0,20}",
        separator in "[?&;#]",
        name in "(token|API_Key|%74oken|client-secret|X-Amz-%53ignature|sig|code)",
    ) {
        let url = format!("{place}?{before}{separator}{name}=S3CRET{separator}{after}");
        let rule = QueryRule::default();
        let once = rule.url(&url).into_owned();
        for shown in [&*once, &rule.text(&url), &rule.text(&once)] {
            prop_assert!(!shown.contains("S3CRET"), "{url:?} shows {shown:?}");
        }
    }

    #[test]
    fn any_template_is_refused_or_rendered(template in fragments(TEMPLATES)) {
        if let Ok(template) = Template::parse(&template) {
            let _ = template.render(&Anything);
        }
    }

    #[test]
    fn integers_survive_every_base(number in any::<i64>()) {
        prop_assert_eq!(parse_go_integer(&number.to_string()), Some(number));
        let magnitude = number.unsigned_abs();
        let sign = if number < 0 { "-" } else { "" };
        for text in [format!("{sign}{magnitude:#x}"), format!("{sign}{magnitude:#o}")] {
            prop_assert_eq!(parse_go_integer(&text), Some(number));
        }
    }
}
