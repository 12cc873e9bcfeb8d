//! The fields of one record, whatever it is made of.

use std::borrow::Cow;

use serde_json::Value;

use crate::field::{self, Span};
use crate::flatten::lookup;
use crate::pattern::Pattern;

/// Stands for "a tab where the line has one, a blank elsewhere": W3C's format allows both.
pub(crate) const BLANKS: u8 = 0;

/// What was found under a name.
#[derive(Debug, Clone)]
pub(crate) struct Found<'a> {
    /// Byte of the line where it begins; 0 when it is not known.
    pub(crate) at: usize,
    pub(crate) text: Cow<'a, [u8]>,
}

/// Why a line is no record: the byte, and what belongs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) at: usize,
    pub(crate) expected: String,
}

/// Finds fields by name in lines of one kind.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    Text(Pattern),
    Columns { names: Vec<String>, separator: u8 },
    Json,
    Pairs,
}

/// A record whose fields can be asked for.
pub(crate) enum Fields<'a> {
    Spans { line: &'a [u8], names: &'a Names, spans: Vec<Span> },
    Json { line: &'a [u8], value: Value },
    Pairs { line: &'a [u8], pairs: Vec<(Span, Span)> },
}

impl Names {
    /// The record in `line`.
    pub(crate) fn open<'a>(&'a self, line: &'a [u8]) -> Result<Fields<'a>, Unfit> {
        let mut spans = Vec::new();
        match self {
            Names::Text(pattern) => pattern.split(line, &mut spans).map_err(|(at, name)| {
                Unfit { at, expected: format!("{name} as the format of the log has it") }
            })?,
            Names::Columns { separator, .. } => {
                let separator = match *separator {
                    BLANKS if line.contains(&b'\t') => b'\t',
                    BLANKS => b' ',
                    separator => separator,
                };
                field::split(line, separator, &mut spans);
            }
            Names::Json => return json(line),
            Names::Pairs => return Ok(Fields::Pairs { line, pairs: pairs(line) }),
        }
        Ok(Fields::Spans { line, names: self, spans })
    }

    /// The place of `name` among columns or variables.
    fn position(&self, name: &str) -> Option<usize> {
        match self {
            Names::Text(pattern) => pattern.names().position(|known| known == name),
            Names::Columns { names, .. } => names.iter().position(|known| known == name),
            Names::Json | Names::Pairs => None,
        }
    }
}

fn json(line: &[u8]) -> Result<Fields<'_>, Unfit> {
    match serde_json::from_slice(line) {
        Ok(value @ Value::Object(_)) => Ok(Fields::Json { line, value }),
        Ok(_) => Err(Unfit { at: 0, expected: "a JSON object".into() }),
        Err(error) => {
            let at = if error.is_eof() { line.len() } else { error.column().saturating_sub(1) };
            let at = at.min(line.len());
            Err(Unfit { at, expected: "one JSON object on the line".into() })
        }
    }
}

impl Fields<'_> {
    /// Bytes of the line.
    pub(crate) fn length(&self) -> usize {
        match self {
            Fields::Spans { line, .. } | Fields::Json { line, .. } | Fields::Pairs { line, .. } => {
                line.len()
            }
        }
    }

    /// Adds the names of an object that are not in `names` yet, those inside objects with a dot.
    pub(crate) fn keys(&self, names: &mut Vec<String>) {
        if let Fields::Json { value, .. } = self {
            collect(value, "", 0, names);
        }
    }

    /// What stands under `name`; `None` when there is nothing of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Found<'_>> {
        match self {
            Fields::Spans { line, names, spans } => {
                let span = spans.get(names.position(name)?)?;
                let end = span.end.min(line.len());
                let text = field::trim(&line[span.start.min(end)..end]);
                Some(Found { at: span.start, text: Cow::Borrowed(text) })
            }
            Fields::Json { line, value } => {
                let text = match lookup(value, name)? {
                    Value::String(text) => Cow::Borrowed(text.as_bytes()),
                    other => Cow::Owned(other.to_string().into_bytes()),
                };
                let key = name.rsplit('.').next().unwrap_or(name);
                let quoted = format!("\"{key}\"");
                let at = memchr::memmem::find(line, quoted.as_bytes()).unwrap_or(0);
                Some(Found { at, text })
            }
            Fields::Pairs { line, pairs } => {
                let is = |span: &Span| &line[span.start..span.end] == name.as_bytes();
                let (_, value) = pairs.iter().find(|(key, _)| is(key))?;
                let text = Cow::Borrowed(&line[value.start..value.end]);
                Some(Found { at: value.start, text })
            }
        }
    }
}

/// Most keys of an object that are looked at, and how deep: log lines have dozens, two deep.
const KEYS_MAX: usize = 256;
const DEPTH_MAX: usize = 3;

fn collect(value: &Value, before: &str, depth: usize, names: &mut Vec<String>) {
    let Some(object) = value.as_object() else { return };
    for (key, value) in object {
        let name = if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
        if value.is_object() && depth < DEPTH_MAX {
            collect(value, &name, depth + 1, names);
        } else if names.len() < KEYS_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
}

/// Most pairs of one line: a log line has dozens.
const PAIRS_MAX: usize = 1_024;

/// The `key=value` and `key="value"` of a line.
fn pairs(line: &[u8]) -> Vec<(Span, Span)> {
    let mut pairs = Vec::new();
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'=', &line[from..]) {
        let equals = from + found;
        let name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(byte);
        let start = line[from..equals].iter().rposition(|byte| !name(byte));
        let start = start.map_or(from, |at| from + at + 1);
        let value = equals + 1;
        let (value, end, next) = match line.get(value) {
            Some(quote @ (b'"' | b'\'')) => {
                let inner = value + 1;
                let end = closing(&line[inner..], *quote).map_or(line.len(), |at| inner + at);
                (inner, end, end + 1)
            }
            _ => {
                let rest = &line[value..];
                let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'>');
                let end = rest.iter().position(ends).map_or(line.len(), |at| value + at);
                (value, end, end)
            }
        };
        if start < equals {
            pairs.push((Span { start, end: equals }, Span { start: value, end }));
        }
        from = next.min(line.len());
        if pairs.len() == PAIRS_MAX {
            break;
        }
    }
    pairs
}

/// Where the next `quote` is that has no backslash before it.
fn closing(text: &[u8], quote: u8) -> Option<usize> {
    memchr::memchr_iter(quote, text).find(|at| *at == 0 || text[at - 1] != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_from_logfmt_and_from_attributes() {
        let text = |line: &str, name: &str| {
            let names = Names::Pairs;
            let fields = names.open(line.as_bytes()).expect("a record");
            fields.get(name).map(|found| String::from_utf8_lossy(&found.text).into_owned())
        };
        let line = "at=info method=GET path=\"/a b=c\" service=23ms";
        assert_eq!(text(line, "path").as_deref(), Some("/a b=c"));
        assert_eq!(text(line, "service").as_deref(), Some("23ms"));
        assert_eq!(text(line, "b"), None);
        let line = "<httpSample t=\"205\" lt=\"1\" ts=\"1795600800000\" lb=\"a\"/>";
        assert_eq!(text(line, "t").as_deref(), Some("205"));
        assert_eq!(text(line, "ts").as_deref(), Some("1795600800000"));
    }
}
