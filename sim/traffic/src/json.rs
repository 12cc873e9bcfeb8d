//! Formats with one JSON object a line.

use std::borrow::Cow;

use serde_json::{Map, Value};

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::error::{Location, TrafficError};
use crate::field::{self, Unit};
use crate::format::{self, ARRIVAL_NAMES, Format, REVISION_NAMES, SERVICE_NAMES};
use crate::input::Lines;
use crate::options::{Grouping, TokenTimes};
use crate::rows::{Row, RowReader, StampedAt};

/// Keys, each a path of nested keys, that may hold the time of a line in a request log.
const LOG_TIME_PATHS: [&[&str]; 8] = [
    &["start_time"],
    &["startTime"],
    &["start"],
    &["timestamp"],
    &["time"],
    &["ts"],
    &["httpRequest", "startTime"],
    &["httpRequest", "timestamp"],
];

/// Keys of the time an app took in a request log of ours, in preference to the whole latency.
const LOG_APP_TIME_PATHS: [&[&str]; 4] =
    [&["app_time"], &["appTime"], &["httpRequest", "appTime"], &["app_time_us"]];

pub(crate) struct JsonReader {
    lines: Lines,
    format: Format,
    grouping: Grouping,
    tokens: Option<TokenTimes>,
    spread_ns: Option<u64>,
}

type Object = Map<String, Value>;

impl JsonReader {
    pub(crate) fn new(
        lines: Lines,
        format: Format,
        grouping: Grouping,
        tokens: Option<TokenTimes>,
        spread_ns: Option<u64>,
    ) -> Self {
        JsonReader { lines, format, grouping, tokens, spread_ns }
    }

    fn object(&self) -> Result<Object, TrafficError> {
        match serde_json::from_slice(self.lines.line()) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => Err(self.lines.bad(0, "a JSON object", self.lines.line())),
            Err(error) => {
                let length = self.lines.line().len();
                let column = if error.is_eof() { length } else { error.column().saturating_sub(1) };
                let column = column.min(length);
                let rest = &self.lines.line()[column..];
                Err(self.lines.bad(column, "one JSON object on the line", rest))
            }
        }
    }

    /// An error at `key`, or at the beginning of the line when it is not there.
    fn bad(&self, key: &str, expected: &str, found: &str) -> TrafficError {
        let quoted = format!("\"{key}\"");
        let at = memchr::memmem::find(self.lines.line(), quoted.as_bytes()).unwrap_or(0);
        self.lines.bad(at, expected, found.as_bytes())
    }

    fn stamp(&self, key: &str, value: &Value, unit: Option<Unit>) -> Result<i64, TrafficError> {
        let text = text(value);
        field::stamp(text.as_bytes(), unit.or_else(|| Unit::of_name(key)))
            .map(|stamp| stamp.nanos)
            .ok_or_else(|| self.bad(key, "a time (a number, or ISO 8601)", &text))
    }

    fn span(&self, key: &str, value: &Value, unit: Unit) -> Result<Option<u64>, TrafficError> {
        let text = text(value);
        // Envoy writes `-` or null for what never happened.
        if matches!(text.as_ref(), "" | "-" | "null") {
            return Ok(None);
        }
        let (number, unit) = suffixed(&text, unit);
        match field::span_nanos(number.as_bytes(), unit) {
            Some(span) => Ok(Some(span)),
            None => Err(self.bad(key, "a duration that is not negative", &text)),
        }
    }

    fn row(&self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        let object = self.object()?;
        match self.format {
            Format::Mooncake => self.mooncake(&object).map(Some),
            Format::K6 => self.k6(&object),
            Format::EnvoyJson => self.envoy(&object, names).map(Some),
            Format::RequestLog => self.request_log(&object).map(Some),
            _ => self.generic(&object, names).map(Some),
        }
    }

    fn mooncake(&self, object: &Object) -> Result<Row, TrafficError> {
        let value = object.get("timestamp").unwrap_or(&Value::Null);
        let stamp_ns = self.stamp("timestamp", value, Some(Unit::Millis))?;
        let mut service_ns = None;
        if let Some(times) = self.tokens {
            let count = |key: &str| {
                let found = object.get(key).unwrap_or(&Value::Null);
                let expected = "a count of tokens";
                found.as_u64().ok_or_else(|| self.bad(key, expected, &text(found)))
            };
            let input = times.input.as_nanos().saturating_mul(count("input_length")?);
            let output = times.output.as_nanos().saturating_mul(count("output_length")?);
            service_ns = Some(input.saturating_add(output));
        }
        Ok(Row { stamp_ns, service_ns, total_ns: None, revision: RevisionIndex(0) })
    }

    /// Only the points of `http_req_duration` are requests; they are stamped when they end.
    fn k6(&self, object: &Object) -> Result<Option<Row>, TrafficError> {
        let is = |key: &str, wanted: &str| object.get(key).is_some_and(|value| value == wanted);
        if !is("type", "Point") || !is("metric", "http_req_duration") {
            return Ok(None);
        }
        let data = object.get("data").unwrap_or(&Value::Null);
        let stamp_ns = self.stamp("time", data.get("time").unwrap_or(&Value::Null), None)?;
        let value = data.get("value").unwrap_or(&Value::Null);
        let service_ns = self.span("value", value, Unit::Millis)?;
        Ok(Some(Row { stamp_ns, service_ns, total_ns: None, revision: RevisionIndex(0) }))
    }

    fn envoy(&self, object: &Object, names: &mut RevisionNames) -> Result<Row, TrafficError> {
        let stamp_ns =
            self.stamp("start_time", object.get("start_time").unwrap_or(&Value::Null), None)?;
        let upstream = ["upstream_service_time", "x_envoy_upstream_service_time"]
            .into_iter()
            .find_map(|key| object.get(key).map(|value| (key, value)));
        let mut service_ns = None;
        if let Some((key, value)) = upstream {
            service_ns = self.span(key, value, Unit::Millis)?;
        } else if let Some(value) = object.get("duration") {
            service_ns = self.span("duration", value, Unit::Millis)?;
        }
        let revision = match object.get("authority") {
            Some(Value::String(name)) if self.grouping != Grouping::All => names.intern(name),
            _ if self.grouping != Grouping::All => names.intern("unknown"),
            _ => RevisionIndex(0),
        };
        Ok(Row { stamp_ns, service_ns, total_ns: None, revision })
    }

    /// A line is written when its request ends, unless its key speaks of the start.
    fn request_log(&self, object: &Object) -> Result<Row, TrafficError> {
        let Some((path, time)) = find(object, &LOG_TIME_PATHS) else {
            return Err(self.bad(
                "httpRequest",
                "a time; Knative's default log template has none, so add one to \
                 logging.request-log-template (for example \"startTime\")",
                "",
            ));
        };
        let key = path.last().copied().unwrap_or("time");
        let stamp_ns = self.stamp(key, time, None)?;
        let latency = object.get("httpRequest").and_then(|request| request.get("latency"));
        let total_ns = match latency {
            Some(value) => self.span("latency", value, Unit::Seconds)?,
            None => None,
        };
        let service_ns = match find(object, &LOG_APP_TIME_PATHS) {
            Some((path, value)) => {
                let key = path.last().copied().unwrap_or("app_time");
                self.span(key, value, Unit::of_name(key).unwrap_or(Unit::Seconds))?
            }
            None => total_ns,
        };
        let start_ns = if key.starts_with("start") {
            stamp_ns
        } else {
            stamp_ns.saturating_sub_unsigned(total_ns.unwrap_or(0))
        };
        Ok(Row { stamp_ns: start_ns, service_ns, total_ns: None, revision: RevisionIndex(0) })
    }

    fn generic(&self, object: &Object, names: &mut RevisionNames) -> Result<Row, TrafficError> {
        let keys: Vec<&String> = object.keys().collect();
        let lower: Vec<String> = keys.iter().map(|key| key.to_lowercase()).collect();
        let Some(at) = format::column(&lower, &ARRIVAL_NAMES) else {
            let expected = format!("a key for the arrival ({})", ARRIVAL_NAMES.join(", "));
            return Err(self.lines.bad(0, &expected, self.lines.line()));
        };
        let stamp_ns = self.stamp(keys[at], &object[keys[at]], Unit::of_name(&lower[at]))?;
        let mut service_ns = None;
        if let Some(at) = format::column(&lower, &SERVICE_NAMES) {
            let unit = Unit::of_name(&lower[at]).unwrap_or(Unit::Seconds);
            service_ns = self.span(keys[at], &object[keys[at]], unit)?;
        }
        let revision = match format::column(&lower, &REVISION_NAMES) {
            Some(at) if self.grouping != Grouping::All => names.intern(&text(&object[keys[at]])),
            _ if names.is_empty() => names.intern("traffic"),
            _ => RevisionIndex(0),
        };
        Ok(Row { stamp_ns, service_ns, total_ns: None, revision })
    }
}

impl RowReader for JsonReader {
    fn next_row(&mut self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        while self.lines.advance()? {
            if let Some(row) = self.row(names)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn stamped_at(&self) -> StampedAt {
        match self.format {
            Format::K6 => StampedAt::End,
            _ => StampedAt::Start,
        }
    }

    fn spread_ns(&self) -> Option<u64> {
        self.spread_ns
    }

    fn location(&self) -> Location {
        self.lines.location(0)
    }
}

/// The first of `paths` that leads somewhere.
fn find<'a>(
    object: &'a Object,
    paths: &[&'static [&'static str]],
) -> Option<(&'static [&'static str], &'a Value)> {
    paths.iter().find_map(|path| {
        let (first, rest) = path.split_first()?;
        let value = rest.iter().try_fold(object.get(*first)?, |value, key| value.get(key))?;
        Some((*path, value))
    })
}

/// A scalar as it was written.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string()),
        other => Cow::Owned(other.to_string()),
    }
}

/// A duration such as `0.123s` or `15ms` as number and unit.
fn suffixed(text: &str, unit: Unit) -> (&str, Unit) {
    for (suffix, unit) in
        [("ms", Unit::Millis), ("us", Unit::Micros), ("ns", Unit::Nanos), ("s", Unit::Seconds)]
    {
        if let Some(number) = text.strip_suffix(suffix) {
            return (number, unit);
        }
    }
    (text, unit)
}
