//! What a site adds behind the combined or the common format.
//!
//! Only what has a shape of its own is known: nginx's seconds with three decimals, its `$msec`, and
//! names such as `rt=`. A whole number may be a time, a size or a port: where nothing else tells
//! them apart it is asked for.

use crate::catalogue::{COMBINED_BASE, COMMON_BASE};
use crate::pattern::Pattern;
use crate::variables;

/// Names that sites give to nginx's variables.
const KEYS: [(&str, &str); 10] = [
    ("rt", "request_time"),
    ("request_time", "request_time"),
    ("reqtime", "request_time"),
    ("req_time", "request_time"),
    ("urt", "upstream_response_time"),
    ("upstream_response_time", "upstream_response_time"),
    ("ut", "upstream_response_time"),
    ("msec", "msec"),
    ("host", "host"),
    ("vhost", "host"),
];

/// Beyond this median a whole number is no time in seconds; and microseconds below it would be a
/// request that took less than ten milliseconds, which a size in bytes looks like.
const MICROS_MEDIAN_MIN: u64 = 10_000;

/// Bytes that headers add to a body at most: what is larger than the body by less than that, in
/// nearly every row, is the size of the response.
const HEADER_BYTES_MAX: u64 = 4_096;

/// Share of rows that must agree for a column to be taken for sizes.
const AGREEING_SHARE: f64 = 0.9;

/// A format found, with what was assumed on the way.
#[derive(Debug)]
pub(crate) struct Tailed {
    pub(crate) format: String,
    pub(crate) assumed: Vec<String>,
}

/// One field behind the format.
struct Token {
    /// What stands before the value: `rt=`, a quote, a bracket.
    before: &'static str,
    key: Option<String>,
    after: &'static str,
    values: Vec<String>,
    /// The variable it was found to be.
    variable: Option<&'static str>,
}

/// The format of `lines`, of which none has a known one as a whole; `None` when they are no access
/// log at all, and an error that names the flag when they leave open what is what.
pub(crate) fn of(lines: &[&[u8]]) -> Result<Option<Tailed>, String> {
    for base in [COMBINED_BASE, COMMON_BASE] {
        let Ok(pattern) = Pattern::new(&format!("{base} $rest")) else { continue };
        let sizes = pattern.names().position(|name| name == "body_bytes_sent").unwrap_or(0);
        let mut spans = Vec::new();
        let (mut tails, mut bodies) = (Vec::new(), Vec::new());
        for line in lines {
            if pattern.split(line, &mut spans).is_err() {
                continue;
            }
            let Some(rest) = spans.last() else { continue };
            tails.push(String::from_utf8_lossy(&line[rest.start..rest.end]).into_owned());
            let size = &line[spans[sizes].start..spans[sizes].end];
            bodies.push(std::str::from_utf8(size).ok().and_then(|size| size.parse().ok()));
        }
        if tails.is_empty() {
            continue;
        }
        let mut tokens = tokens(&tails);
        if tokens.is_empty() {
            continue;
        }
        let mut assumed = Vec::new();
        name(&mut tokens, &bodies, &mut assumed).map_err(|what| ask(&what, &tokens))?;
        // Apache's times come with Apache's stamp, which is the beginning.
        let apache = |token: &Token| token.variable.is_some_and(|name| name.starts_with('%'));
        let base = match tokens.iter().any(apache) {
            true => base.replace("$time_local", "$time_start"),
            false => base.to_owned(),
        };
        return Ok(Some(Tailed { format: format!("{base} {}", written(&tokens)), assumed }));
    }
    Ok(None)
}

/// The tail's fields by column, from all tails that have as many as the first.
fn tokens(tails: &[String]) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (number, tail) in tails.iter().enumerate() {
        let words = words(tail);
        if number > 0 && words.len() != tokens.len() {
            continue;
        }
        for (at, word) in words.into_iter().enumerate() {
            let (key, rest) = match word.split_once('=') {
                Some((key, rest)) if !key.starts_with(['"', '[']) && !key.is_empty() => {
                    (Some(key.to_owned()), rest)
                }
                _ => (None, word),
            };
            let enclosed = |open, close| rest.strip_prefix(open)?.strip_suffix(close);
            let (before, value, after) = match (enclosed('"', '"'), enclosed('[', ']')) {
                (Some(inner), _) => ("\"", inner, "\""),
                (_, Some(inner)) => ("[", inner, "]"),
                _ => ("", rest, ""),
            };
            let token = Token { before, key, after, values: Vec::new(), variable: None };
            if number == 0 {
                tokens.push(token);
            }
            tokens[at].values.push(value.to_owned());
        }
    }
    tokens
}

/// `tail` at its blanks, except those inside quotes and brackets.
fn words(tail: &str) -> Vec<&str> {
    let (mut words, mut start, mut closing) = (Vec::new(), None, None);
    let mut escaped = false;
    for (at, byte) in tail.bytes().enumerate() {
        match (byte, closing) {
            (b' ', None) => {
                if let Some(start) = start.take() {
                    words.push(&tail[start..at]);
                }
                continue;
            }
            (b'"', None) => closing = Some(b'"'),
            (b'[', None) if start.is_none() => closing = Some(b']'),
            (byte, Some(close)) if byte == close && !escaped => closing = None,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
        start = start.or(Some(at));
    }
    words.extend(start.map(|start| &tail[start..]));
    words
}

/// Finds out which variable each token is.
fn name(
    tokens: &mut [Token],
    bodies: &[Option<u64>],
    assumed: &mut Vec<String>,
) -> Result<(), String> {
    for token in tokens.iter_mut() {
        if let Some(key) = &token.key {
            let known = KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(key));
            token.variable = known.map(|(_, variable)| *variable);
        } else if token.all(is_exact_end) {
            token.variable = Some("msec");
        }
    }
    let timed =
        |token: &Token| matches!(token.variable, Some("request_time" | "upstream_response_time"));
    if tokens.iter().any(timed) {
        return Ok(());
    }
    let decimals: Vec<usize> = columns(tokens, |token| {
        token.key.is_none() && token.variable.is_none() && token.all(is_decimal)
    });
    if let Some(longest) = longest(tokens, &decimals)? {
        tokens[longest].variable = Some("request_time");
        return Ok(());
    }
    if let Some(token) = tokens.iter().find(|token| token.key.is_some() && token.all(is_decimal)) {
        let key = token.key.as_deref().unwrap_or("");
        return Err(format!("'{key}=' may be a time, but it is no name that is known"));
    }
    whole_numbers(tokens, bodies, assumed)
}

/// Whole numbers: sizes where that can be seen, Apache's microseconds where they can be nothing
/// else, and a question otherwise.
fn whole_numbers(
    tokens: &mut [Token],
    bodies: &[Option<u64>],
    assumed: &mut Vec<String>,
) -> Result<(), String> {
    let pairs = columns(tokens, |token| token.all(is_seconds_and_micros));
    if let [pair] = pairs[..] {
        tokens[pair].variable = Some("%T/%D");
        return Ok(());
    }
    let wholes = columns(tokens, |token| token.key.is_none() && token.all(is_whole));
    let sized = |column: usize| tokens[column].follows(bodies);
    match wholes[..] {
        [] => Ok(()),
        [one] if !sized(one) && tokens[one].median() >= MICROS_MEDIAN_MIN => {
            tokens[one].variable = Some("%D");
            assumed.push(
                "the whole number behind the user agent is taken for Apache's %D, microseconds \
                 (--log-format says otherwise)"
                    .into(),
            );
            Ok(())
        }
        [_, sent] if sized(sent) => {
            assumed.push(
                "the two whole numbers behind the user agent are taken for Apache's %I and %O, \
                 bytes: there is no service time"
                    .into(),
            );
            Ok(())
        }
        [_] => Err("a whole number may be microseconds (%D), seconds (%T) or bytes".into()),
        _ => Err("several whole numbers may be times or bytes".into()),
    }
}

fn columns(tokens: &[Token], is: impl Fn(&Token) -> bool) -> Vec<usize> {
    (0..tokens.len()).filter(|column| is(&tokens[*column])).collect()
}

/// Of several times of a request that which is never shorter than another is the whole one: nginx
/// measures all else within it.
fn longest(tokens: &[Token], candidates: &[usize]) -> Result<Option<usize>, String> {
    let value = |column: usize, row: usize| tokens[column].values[row].parse::<f64>().ok();
    let never_shorter = |one: usize| {
        candidates.iter().all(|other| {
            let rows = 0..tokens[one].values.len();
            rows.filter_map(|row| Some((value(one, row)?, value(*other, row)?)))
                // Both are rounded to a millisecond, each in its own way.
                .all(|(mine, theirs)| mine + 0.0015 >= theirs)
        })
    };
    match candidates {
        [] => Ok(None),
        all => all.iter().copied().find(|one| never_shorter(*one)).map(Some).ok_or_else(|| {
            "several times in seconds, of which none is always the longest".to_owned()
        }),
    }
}

/// Seconds since 1970 with milliseconds: nine digits until 2001, ten since then.
fn is_exact_end(value: &str) -> bool {
    let whole = value.split_once('.').filter(|(_, fraction)| fraction.len() == 3);
    whole.is_some_and(|(seconds, _)| matches!(seconds.len(), 9 | 10))
        && value.parse::<f64>().is_ok()
}

fn is_decimal(value: &str) -> bool {
    variables::decimals(value.as_bytes())
}

fn is_whole(value: &str) -> bool {
    !value.is_empty() && value.len() < 19 && value.bytes().all(|byte| byte.is_ascii_digit())
}

/// `0/205123`: Apache's `%T/%D`, of which the first is the second in whole seconds.
fn is_seconds_and_micros(value: &str) -> bool {
    let parts = value.split_once('/').and_then(|(seconds, micros)| {
        Some((seconds.parse::<u64>().ok()?, micros.parse::<u64>().ok()?))
    });
    parts.is_some_and(|(seconds, micros)| micros / 1_000_000 == seconds)
}

impl Token {
    /// Whether every value that is there is of a kind, and at least one is there.
    fn all(&self, is: impl Fn(&str) -> bool) -> bool {
        let mut there = self.values.iter().filter(|value| *value != "-").peekable();
        there.peek().is_some() && there.all(|value| is(value))
    }

    fn median(&self) -> u64 {
        let mut numbers: Vec<u64> =
            self.values.iter().filter_map(|value| value.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.get(numbers.len() / 2).copied().unwrap_or(0)
    }

    /// Whether the values are the bodies' sizes with headers.
    fn follows(&self, bodies: &[Option<u64>]) -> bool {
        let rows = self.values.iter().zip(bodies);
        let pairs = rows.filter_map(|(value, body)| Some((value.parse::<u64>().ok()?, (*body)?)));
        let (mut agreeing, mut all) = (0_usize, 0_usize);
        for (value, body) in pairs {
            all += 1;
            agreeing += usize::from(value >= body && value - body <= HEADER_BYTES_MAX);
        }
        all > 0 && agreeing as f64 >= all as f64 * AGREEING_SHARE
    }
}

/// The tokens in nginx's notation.
fn written(tokens: &[Token]) -> String {
    let mut words = Vec::with_capacity(tokens.len());
    for (number, token) in tokens.iter().enumerate() {
        let key = token.key.as_ref().map(|key| format!("{key}=")).unwrap_or_default();
        let variable = match token.variable {
            Some("%T/%D") => "${%T}/${%D}".to_owned(),
            Some(name) => format!("${{{name}}}"),
            None => format!("${{tail_{number}}}"),
        };
        words.push(format!("{key}{}{variable}{}", token.before, token.after));
    }
    words.join(" ")
}

/// The question, with what to pass.
fn ask(what: &str, tokens: &[Token]) -> String {
    let values = tokens.iter().map(|token| {
        let value = token.values.first().map_or("", String::as_str);
        format!("{}{}{}", token.before, value, token.after)
    });
    format!(
        "behind the known part of each line stands `{}`, and nothing says what it is ({what}); \
         pass --log-format with the server's own format, for example --log-format \
         '%h %l %u %t \"%r\" %>s %b \"%{{Referer}}i\" \"%{{User-Agent}}i\" %D'",
        values.collect::<Vec<_>>().join(" ")
    )
}
