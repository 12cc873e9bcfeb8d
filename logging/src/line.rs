//! One event as one line: bounded, and without the secrets of a URL that it quotes.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::{Duration, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use crate::secrets::QueryRule;

/// The longest message; what is longer is cut. Errors may quote an app's or a collector's text.
const LONGEST_MESSAGE: usize = 4 << 10;
/// The longest value of a field beside the message.
const LONGEST_FIELD: usize = 512;

/// What a line looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// For people: the message, and the fields behind it as `name=value`.
    Text,
    /// One object of JSON.
    Json,
    /// One object of JSON as Knative's sidecar writes it, so that existing log pipelines keep
    /// working.
    Knative {
        /// `knative.dev/key`: namespace and revision.
        key: String,
        /// `knative.dev/pod`.
        pod: String,
    },
}

impl Shape {
    /// Text where standard error is a terminal, JSON elsewhere.
    #[must_use]
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }

    /// The event as a line, without its end.
    pub(super) fn line(&self, event: &Event<'_>, since_epoch: Duration) -> String {
        let style = if *self == Self::Text { Style::Text } else { Style::Json };
        let mut fields = Fields { style, message: String::new(), others: String::new() };
        event.record(&mut fields);
        let metadata = event.metadata();
        match self {
            Self::Text => text(metadata, since_epoch, &fields),
            Self::Json => json(metadata, since_epoch, &fields),
            Self::Knative { key, pod } => knative(metadata, since_epoch, &fields, [key, pod]),
        }
    }
}

fn text(metadata: &Metadata<'_>, since_epoch: Duration, fields: &Fields) -> String {
    let (level, target) = (severity(*metadata.level()), metadata.target());
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch);
    // What an error quotes must not move the cursor or look like a line of its own.
    let message = fields.message.replace(char::is_control, " ");
    format!("{time} {level:<7} {target}: {message}{}", fields.others)
}

fn json(metadata: &Metadata<'_>, since_epoch: Duration, fields: &Fields) -> String {
    let (level, target) = (severity(*metadata.level()), metadata.target());
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch);
    let mut line = format!(
        "{{\"severity\":\"{level}\",\"timestamp\":\"{time}\",\"logger\":\"{target}\",\"message\":"
    );
    push_json(&mut line, &fields.message);
    line.push_str(&fields.others);
    line.push('}');
    line
}

fn knative(
    metadata: &Metadata<'_>,
    since_epoch: Duration,
    fields: &Fields,
    [key, pod]: [&str; 2],
) -> String {
    let level = severity(*metadata.level());
    let time = humantime::format_rfc3339_nanos(UNIX_EPOCH + since_epoch);
    let mut line = format!(
        "{{\"severity\":\"{level}\",\"timestamp\":\"{time}\",\"logger\":\"queueproxy\",\"caller\":"
    );
    let place = metadata.file().unwrap_or(metadata.target());
    let place = place.rsplit_once("src/").map_or(place, |(_, file)| file);
    push_json(&mut line, &format!("{place}:{}", metadata.line().unwrap_or(0)));
    line.push_str(",\"message\":");
    push_json(&mut line, &fields.message);
    line.push_str(",\"knative.dev/key\":");
    push_json(&mut line, key);
    line.push_str(",\"knative.dev/pod\":");
    push_json(&mut line, pod);
    line.push_str(&fields.others);
    line.push('}');
    line
}

/// A level as log pipelines name it.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        _ => "DEBUG",
    }
}

/// Appends `text` as a JSON string.
pub fn push_json(line: &mut String, text: &str) {
    // Serializing a string to JSON cannot fail.
    line.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A text as it may stand in a line: cut, and without the secrets of a URL that it quotes.
fn bounded(text: &str, longest: usize) -> String {
    QueryRule::default().text(&text[..text.floor_char_boundary(longest)]).into_owned()
}

/// How the fields beside a message are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As further members of a JSON object.
    Json,
    /// As `name=value` behind the message, for people.
    Text,
}

/// The fields of an event: bounded, and without the secrets of a URL.
#[derive(Debug)]
struct Fields {
    style: Style,
    /// The message, as it is.
    message: String,
    /// The other fields, as they are appended.
    others: String,
}

impl Fields {
    fn push(&mut self, field: &Field, json: &str) {
        match self.style {
            Style::Json => {
                self.others.push(',');
                push_json(&mut self.others, field.name());
                self.others.push(':');
            }
            Style::Text => {
                // Writing to a string cannot fail.
                let _ = write!(self.others, " {}=", field.name());
            }
        }
        self.others.push_str(json);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = bounded(value, LONGEST_MESSAGE);
            return;
        }
        let mut json = String::new();
        push_json(&mut json, &bounded(value, LONGEST_FIELD));
        self.push(field, &json);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, if value { "true" } else { "false" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_bounded_and_contains_no_secret() {
        assert_eq!(bounded("é".repeat(9).as_str(), 5), "éé");
        assert_eq!(bounded("from /?token=S3CRET on", 100), "from /?token=*** on");
    }
}
