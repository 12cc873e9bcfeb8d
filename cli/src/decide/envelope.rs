//! A scenario as it lies in a file: named fields in the order they were written.
//!
//! Fields that are not answered pass through letter by letter, apart from white space between
//! tokens, so that no number is ever reformatted.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{At, Fault};

/// The version of the format that is understood.
const FORMAT: i64 = 1;

/// The start of a scenario's time when it names none: the year 2000.
const DEFAULT_BASE_UNIX_MS: i64 = 946_684_800_000;

/// Times further from the epoch than this are mistakes; arithmetic on times within is safe.
pub(crate) const MAX_TIME_MS: i64 = 1 << 52;

/// One scenario.
#[derive(Debug)]
pub(crate) struct Envelope {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Envelope {
    /// The scenarios of a text: one, several one after the other, or a list of them. What is not
    /// JSON is a fault that ends the list.
    pub(crate) fn split(text: &str) -> Vec<Result<Self, Fault>> {
        let mut envelopes = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
            let value = match value {
                Ok(value) => value,
                Err(error) => {
                    envelopes.push(Err(Fault::new("", format!("not JSON: {error}"))));
                    break;
                }
            };
            if !value.get().starts_with('[') {
                envelopes.push(Self::parse(&value));
                continue;
            }
            match serde_json::from_str::<Vec<Box<RawValue>>>(value.get()) {
                Ok(values) => envelopes.extend(values.iter().map(|value| Self::parse(value))),
                Err(error) => envelopes.push(Err(Fault::new("", error))),
            }
        }
        if envelopes.is_empty() {
            envelopes.push(Err(Fault::new("", "no scenario in it")));
        }
        envelopes
    }

    /// One scenario.
    pub(crate) fn parse(value: &RawValue) -> Result<Self, Fault> {
        let envelope: Self = serde_json::from_str(value.get()).at("")?;
        let format = envelope.field::<i64>("format")?.unwrap_or(FORMAT);
        if format != FORMAT {
            let message = format!("version {format}, expected {FORMAT}");
            return Err(Fault::new("format", message));
        }
        Ok(envelope)
    }

    /// The kind of scenario.
    pub(crate) fn kind(&self) -> Result<String, Fault> {
        self.field("kind")?
            .ok_or_else(|| Fault::new("kind", "missing, expected a kind of scenario"))
    }

    /// Unix time in milliseconds at which the scenario's own time is 0.
    pub(crate) fn base_unix_ms(&self) -> Result<i64, Fault> {
        let base = self.field("base_unix_ms")?.unwrap_or(DEFAULT_BASE_UNIX_MS);
        if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&base) {
            return Ok(base);
        }
        let message = format!("{base}, expected at most {MAX_TIME_MS} ms from 1970");
        Err(Fault::new("base_unix_ms", message))
    }

    /// The input, with fields that are null taken out: null means absent.
    pub(crate) fn input(&self) -> Result<serde_json::Value, Fault> {
        let mut input = self
            .field::<serde_json::Value>("input")?
            .ok_or_else(|| Fault::new("input", "missing, expected an object"))?;
        drop_nulls(&mut input);
        Ok(input)
    }

    /// Replaces a field, or adds it at the end.
    pub(crate) fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// The scenario on one line.
    pub(crate) fn to_line(&self) -> String {
        let mut line = String::from("{");
        for (index, (name, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                line.push_str(", ");
            }
            line.push_str(&serde_json::Value::from(name.as_str()).to_string());
            line.push_str(": ");
            push_compact(&mut line, value.get());
        }
        line.push('}');
        line
    }

    fn field<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Fault> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| serde_json::from_str(value.get()).at(name)).transpose()
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scenario, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(field, _)| *field == name) {
                        let message = format!("the field {name:?} is there twice");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((name, value));
                }
                Ok(Envelope { fields })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

fn drop_nulls(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Appends JSON without the white space between its tokens.
fn push_compact(line: &mut String, json: &str) {
    let mut in_string = false;
    let mut escaped = false;
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if c.is_ascii_whitespace() {
            continue;
        }
        line.push(c);
    }
}
