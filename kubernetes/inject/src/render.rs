//! A value as text: in lines for YAML, in brackets for JSON and what is written like it.

use serde_json::{Map, Value};

use crate::value::typed;

/// Keys in the order in which people write them; all others follow in the alphabet's.
const FIRST: &[&str] = &[
    "name",
    "image",
    "restartPolicy",
    "ports",
    "containerPort",
    "env",
    "value",
    "valueFrom",
    "resources",
    "volumeMounts",
    "securityContext",
    "startupProbe",
    "readinessProbe",
    "lifecycle",
    "requests",
    "limits",
];

/// How the lines around are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) newline: &'static str,
    /// Columns by which the dashes of a list stand to the right of its key.
    pub(crate) dash_indent: usize,
}

impl Layout {
    /// `key: value`, without indentation before its first line.
    pub(crate) fn entry(self, key: &str, value: &Value, indent: usize) -> String {
        let key = scalar(key);
        match value {
            Value::Object(map) if !map.is_empty() => {
                let mut text = format!("{key}:");
                for (key, value) in ordered(map) {
                    text += &self.line(indent + 2);
                    text += &self.entry(key, value, indent + 2);
                }
                text
            }
            Value::Array(items) if !items.is_empty() => {
                let dash = indent + self.dash_indent;
                let mut text = format!("{key}:");
                for item in items {
                    text += &self.line(dash);
                    text += "- ";
                    text += &self.item(item, dash + 2);
                }
                text
            }
            other => format!("{key}: {}", leaf(other)),
        }
    }

    /// What stands behind `- `, its further lines at `indent`.
    pub(crate) fn item(self, value: &Value, indent: usize) -> String {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let entries = ordered(map).into_iter();
                let entries: Vec<_> =
                    entries.map(|(key, value)| self.entry(key, value, indent)).collect();
                entries.join(&self.line(indent))
            }
            other => leaf(other),
        }
    }

    /// The begin of a new line.
    pub(crate) fn line(self, indent: usize) -> String {
        format!("{}{}", self.newline, " ".repeat(indent))
    }
}

/// The entries of a mapping, in the order in which people write them.
pub(crate) fn ordered(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    let rank = |key: &String| FIRST.iter().position(|known| known == key).unwrap_or(FIRST.len());
    entries.sort_by_key(|(key, _)| rank(key));
    entries
}

/// In brackets, on one line or, given where its first line begins, on many.
pub(crate) fn flow(value: &Value, indent: Option<usize>, newline: &str) -> String {
    let (open, close, inner): (_, _, Vec<String>) = match value {
        Value::Object(map) if !map.is_empty() => {
            let entries = ordered(map).into_iter().map(|(key, value)| {
                format!("{}: {}", json(key), flow(value, indent.map(|i| i + 2), newline))
            });
            ('{', '}', entries.collect())
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| flow(item, indent.map(|i| i + 2), newline));
            ('[', ']', items.collect())
        }
        other => return other.to_string(),
    };
    match indent {
        None => format!("{open}{}{close}", inner.join(", ")),
        Some(indent) => {
            let (inside, outside) = (" ".repeat(indent + 2), " ".repeat(indent));
            let inner = inner.join(&format!(",{newline}{inside}"));
            format!("{open}{newline}{inside}{inner}{newline}{outside}{close}")
        }
    }
}

/// A value without lines of its own.
pub(crate) fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(_) | Value::Object(_) => flow(value, None, ""),
        other => other.to_string(),
    }
}

/// A text as a YAML scalar: plain where every reader takes it for a string.
pub(crate) fn scalar(text: &str) -> String {
    // Such as 16Mi; not 0x10, which some readers take for a number, nor a date.
    let is_quantity = text.starts_with(|c: char| ('1'..='9').contains(&c))
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric());
    let is_plain = (is_quantity || text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/'))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@".contains(c) || c == ':')
        && !text.ends_with(':')
        && matches!(typed(text), Value::String(_))
        && !is_truth_elsewhere(text);
    let fits_single_quotes = text.contains('"')
        && !text.contains(['\'', '\\'])
        && !text.chars().any(|c| c.is_control() || c == '\u{feff}');
    if is_plain {
        text.to_owned()
    } else if fits_single_quotes {
        format!("'{text}'")
    } else {
        json(text)
    }
}

/// What YAML 1.1, which Kubernetes' tools follow there, reads as a boolean.
fn is_truth_elsewhere(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn json(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
