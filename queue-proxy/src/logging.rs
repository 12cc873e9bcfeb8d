//! The process log: JSON lines on standard error in the shape that a default Knative install
//! shows, so that existing log pipelines keep working.
//!
//! A subscriber of our own is some hundred lines; the usual one brings a regular expression
//! engine into every pod.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, span};

use crate::identity::Identity;
use crate::secrets::QueryRule;

/// Lines of one second that are written before sampling begins, as in Knative.
const BURST_PER_SECOND: u64 = 100;
/// Beyond the burst, one of so many lines is written, as in Knative.
const SAMPLE_EVERY: u64 = 100;

/// The longest message; what is longer is cut. Errors may quote what an app or a collector said.
const LONGEST_MESSAGE: usize = 4 << 10;
/// The longest value of a field beside the message.
const LONGEST_FIELD: usize = 512;

/// Installs the log for the whole process. Without effect when the process has one already.
pub fn install(identity: &Identity, level: Level) {
    let log = JsonLines {
        level,
        key: format!("{}/{}", identity.namespace, identity.revision),
        pod: identity.pod.clone(),
        sampler: Sampler::default(),
    };
    // Another role of this process, or a test, may have installed its own: that one then wins.
    let _ = tracing::subscriber::set_global_default(log);
}

/// The level that a logger configuration and a level name ask for, and a complaint about the
/// configuration, which is never fatal.
pub fn level(config_json: &str, level: &str) -> (Level, Option<String>) {
    let mut complaint = None;
    let mut configured = None;
    if !config_json.is_empty() {
        match serde_json::from_str::<serde_json::Value>(config_json) {
            Ok(config) => {
                configured =
                    config.get("level").and_then(serde_json::Value::as_str).and_then(level_named);
            }
            Err(error) => {
                complaint = Some(format!("cannot parse the logger configuration: {error}"));
            }
        }
    }
    (level_named(level).or(configured).unwrap_or(Level::INFO), complaint)
}

fn level_named(name: &str) -> Option<Level> {
    match name.to_ascii_lowercase().as_str() {
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" | "warning" => Some(Level::WARN),
        "error" | "dpanic" | "panic" | "fatal" => Some(Level::ERROR),
        _ => None,
    }
}

/// Admits a burst of events in each second, then one of many, counting the rest.
#[derive(Debug, Default)]
pub struct Sampler {
    second: AtomicU64,
    count: AtomicU64,
}

impl Sampler {
    /// Whether the event at `unix_second` is to be written.
    pub fn admits(&self, unix_second: u64) -> bool {
        // Two threads at the turn of a second may let a few more through; that is harmless.
        if self.second.swap(unix_second, Ordering::Relaxed) != unix_second {
            self.count.store(0, Ordering::Relaxed);
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        number < BURST_PER_SECOND || number.is_multiple_of(SAMPLE_EVERY)
    }
}

/// The subscriber. It knows events only; spans cost nothing and are not recorded.
#[derive(Debug)]
struct JsonLines {
    level: Level,
    key: String,
    pod: String,
    sampler: Sampler,
}

impl JsonLines {
    fn line(&self, event: &Event<'_>, since_epoch: Duration) -> String {
        let metadata = event.metadata();
        let mut fields = Fields::new(Style::Json);
        event.record(&mut fields);
        let mut line = String::with_capacity(256);
        line.push_str("{\"severity\":\"");
        line.push_str(severity(*metadata.level()));
        line.push_str("\",\"timestamp\":\"");
        let timestamp = humantime::format_rfc3339_nanos(UNIX_EPOCH + since_epoch);
        let _ = write!(line, "{timestamp}");
        line.push_str("\",\"logger\":\"queueproxy\",\"caller\":");
        let place = metadata.file().unwrap_or(metadata.target());
        let place = place.rsplit_once("src/").map_or(place, |(_, file)| file);
        push_json(&mut line, &format!("{place}:{}", metadata.line().unwrap_or(0)));
        line.push_str(",\"message\":");
        push_json(&mut line, &fields.message);
        line.push_str(",\"knative.dev/key\":");
        push_json(&mut line, &self.key);
        line.push_str(",\"knative.dev/pod\":");
        push_json(&mut line, &self.pod);
        line.push_str(&fields.others);
        line.push_str("}\n");
        line
    }
}

impl tracing::Subscriber for JsonLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries below us are heard when something is wrong only.
        let ceiling = if metadata.target().starts_with("tidegate") {
            self.level
        } else {
            self.level.min(Level::WARN)
        };
        metadata.is_event() && *metadata.level() <= ceiling
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.level))
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if !self.sampler.admits(since_epoch.as_secs()) {
            return;
        }
        let line = self.line(event, since_epoch);
        // A log that cannot be written must not take the data path with it.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// A level as log pipelines name it.
pub fn severity(level: Level) -> &'static str {
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
pub enum Style {
    /// As further members of a JSON object.
    Json,
    /// As `name=value` behind the message, for people.
    Text,
}

/// What an event says: bounded, and without the secrets of a URL.
#[derive(Debug)]
pub struct Fields {
    style: Style,
    message: String,
    others: String,
}

impl Fields {
    /// Nothing yet; an event is recorded into it.
    #[must_use]
    pub fn new(style: Style) -> Self {
        Self { style, message: String::new(), others: String::new() }
    }

    /// The message, as it is, and the other fields, as they may be appended.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        (&self.message, &self.others)
    }

    fn push(&mut self, field: &Field, json: &str) {
        match self.style {
            Style::Json => {
                self.others.push(',');
                push_json(&mut self.others, field.name());
                self.others.push(':');
            }
            Style::Text => {
                self.others.push(' ');
                self.others.push_str(field.name());
                self.others.push('=');
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
    fn a_junk_configuration_is_never_fatal() {
        assert_eq!(level("", ""), (Level::INFO, None));
        assert_eq!(level("{\"level\":\"debug\"}", ""), (Level::DEBUG, None));
        assert_eq!(level("{\"level\":\"debug\"}", "error"), (Level::ERROR, None));
        assert_eq!(level("", "junk"), (Level::INFO, None));
        let (level, complaint) = level("{", "warn");
        assert_eq!(level, Level::WARN);
        assert!(complaint.is_some_and(|text| text.contains("logger configuration")));
    }

    #[test]
    fn a_text_is_bounded_and_keeps_no_secret() {
        assert_eq!(bounded("é".repeat(9).as_str(), 5), "éé");
        assert_eq!(bounded("from /?token=S3CRET on", 100), "from /?token=*** on");
    }

    #[test]
    fn the_sampler_thins_out_a_flood_and_forgets_it_after_a_second() {
        let sampler = Sampler::default();
        let written = (0..1000).filter(|_| sampler.admits(7)).count();
        assert_eq!(written, 109);
        assert!(sampler.admits(8));
    }
}
