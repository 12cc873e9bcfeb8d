//! What must hold for any text: a reader gives a value or an error, and what was printed reads
//! back.

use proptest::prelude::*;
use tidegate_go_text::template::{Data, Template, Value};
use tidegate_go_text::{GoDuration, parse_float, parse_int64, parse_literal, print_float, quote};

/// Text that is likely to be syntax for a parser.
fn fragments(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
}

const TEMPLATES: &[&str] = &[
    "{{", "}}", "{{-", "-}}", " ", ".A", ".Bb", "js", "index", "printf", "\"%5d\"", "\"%\"", "(",
    ")", "|", "if", "else", "end", "eq", "and", "1", "-1.5", "\"x", "`", "$", "/*", "*/", "range",
];

const NUMBERS: &[&str] =
    &["0", "1", "9", "x", "0x", "0b", "0o", "_", ".", "e", "p", "-", "+", "inf", "nan", "µs", "h"];

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
    fn any_template_is_refused_or_rendered(template in fragments(TEMPLATES)) {
        if let Ok(template) = Template::parse(&template) {
            let _ = template.render(&Anything);
        }
    }

    #[test]
    fn any_number_is_refused_or_read(text in fragments(NUMBERS)) {
        let (decimal, literal) = (parse_int64(&text), parse_literal(&text));
        // A decimal integer is a literal as well, but for the zeros that make one octal.
        if decimal.is_ok() && !text.trim_start_matches(['-', '+']).starts_with('0') {
            prop_assert_eq!(decimal, literal);
        }
        let _ = (parse_float(&text), GoDuration::parse(&text));
    }

    #[test]
    fn integers_survive_every_base(number in any::<i64>()) {
        prop_assert_eq!(parse_int64(&number.to_string()), Ok(number));
        prop_assert_eq!(parse_literal(&number.to_string()), Ok(number));
        let magnitude = number.unsigned_abs();
        let sign = if number < 0 { "-" } else { "" };
        for text in [format!("{sign}{magnitude:#x}"), format!("{sign}{magnitude:#o}")] {
            prop_assert_eq!(parse_literal(&text), Ok(number));
        }
    }

    #[test]
    fn what_was_printed_reads_back(bits in any::<u64>(), nanoseconds in any::<i64>()) {
        let float = f64::from_bits(bits);
        if float.is_finite() {
            prop_assert_eq!(parse_float(&print_float(float)), Ok(float));
        }
        let duration = GoDuration::from_nanoseconds(nanoseconds);
        prop_assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration));
    }

    #[test]
    fn what_is_quoted_has_no_quote_or_control_left(text in any::<String>()) {
        let quoted = quote(&text);
        let inside = &quoted[1..quoted.len() - 1];
        prop_assert!(!inside.chars().any(char::is_control));
        let mut escaped = false;
        for character in inside.chars() {
            prop_assert!(character != '"' || escaped);
            escaped = character == '\\' && !escaped;
        }
        prop_assert!(!escaped);
    }
}
