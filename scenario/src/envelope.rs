//! A scenario as it lies in a file: named fields in the order they were written.
//!
//! Fields that are not answered pass through letter by letter, apart from white space between
//! tokens, so that no number is ever reformatted.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tidegate_words::{excerpt, nearest};

use crate::error::{At, ScenarioError};
use crate::input::{OnUnknown, UnknownField};

/// The fields that the format knows; all others are remarks of the scenario's author.
const FIELDS: [&str; 8] =
    ["format", "name", "kind", "description", "base_unix_ms", "input", "expected", "explanations"];

/// The version of the format that is understood.
const FORMAT: i64 = 1;

/// The start of a scenario's time when it names none: the year 2000.
const DEFAULT_BASE_UNIX_MS: i64 = 946_684_800_000;

/// Times further from the epoch than this are mistakes; arithmetic on times within is safe.
pub(crate) const MAX_TIME_MS: i64 = 1 << 52;

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Scenario {
    /// The scenarios of a text: one, several one after the other, or a list of them. What is not
    /// JSON is an error that ends the list; a text without a scenario is one error.
    pub fn split(text: &str) -> Vec<Result<Self, ScenarioError>> {
        let mut scenarios = Vec::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
            let value = match value {
                Ok(value) => value,
                Err(error) => {
                    scenarios.push(Err(ScenarioError::new("", format!("not JSON: {error}"))));
                    break;
                }
            };
            if !value.get().starts_with('[') {
                scenarios.push(Self::parse(&value));
                continue;
            }
            match serde_json::from_str::<Vec<Box<RawValue>>>(value.get()) {
                Ok(values) => scenarios.extend(values.iter().map(|value| Self::parse(value))),
                Err(error) => scenarios.push(Err(ScenarioError::new("", error))),
            }
        }
        if scenarios.is_empty() {
            scenarios.push(Err(ScenarioError::new("", "no scenario in it")));
        }
        scenarios
    }

    /// One scenario. Which fields its kind has is only looked at when it is answered.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] when it is not an object, says a field twice, or is of another format.
    pub fn parse(value: &RawValue) -> Result<Self, ScenarioError> {
        let scenario: Self = serde_json::from_str(value.get()).at("")?;
        let format = scenario.field::<i64>("format")?.unwrap_or(FORMAT);
        if format != FORMAT {
            let message = format!("version {format}, expected {FORMAT}");
            return Err(ScenarioError::new("format", message));
        }
        Ok(scenario)
    }

    /// The scenario that asks whether these settings, such as the data of a `config-autoscaler`,
    /// are good, and what they say.
    ///
    /// # Errors
    ///
    /// As [`Scenario::parse`].
    pub fn of_settings(name: &str, data: BTreeMap<String, String>) -> Result<Self, ScenarioError> {
        let question = SettingsQuestion {
            format: FORMAT,
            name,
            kind: "config",
            description: "Settings read from a file.",
            input: Cases { cases: [data] },
        };
        Self::parse(&serde_json::value::to_raw_value(&question).at("")?)
    }

    /// The kind of scenario.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] when it is missing or no text.
    pub fn kind(&self) -> Result<String, ScenarioError> {
        self.field("kind")?.ok_or_else(|| self.missing("kind", "a kind of scenario"))
    }

    /// Unix time in milliseconds at which the scenario's own time is 0.
    pub(crate) fn base_unix_ms(&self) -> Result<i64, ScenarioError> {
        let base = self.field("base_unix_ms")?.unwrap_or(DEFAULT_BASE_UNIX_MS);
        if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&base) {
            return Ok(base);
        }
        let message = format!("{base}, expected at most {MAX_TIME_MS} ms from 1970");
        Err(ScenarioError::new("base_unix_ms", message))
    }

    /// The input, with fields that are null taken out: null means absent.
    pub(crate) fn input(&self) -> Result<serde_json::Value, ScenarioError> {
        let mut input = self
            .field::<serde_json::Value>("input")?
            .ok_or_else(|| self.missing("input", "an object"))?;
        drop_nulls(&mut input);
        Ok(input)
    }

    /// Tells of fields that were most likely meant to be the base: it may be left out, so that a
    /// misspelt one would be no error. Other fields that are not known are remarks.
    pub(crate) fn tell_misspelt_base(&self, unknown: &mut OnUnknown<'_>) {
        for name in self.remarks().filter(|name| nearest(name, ["base_unix_ms"]).is_some()) {
            unknown(&UnknownField::new(name.to_owned(), name, &["base_unix_ms"]));
        }
    }

    /// Names of fields that the format does not know.
    fn remarks(&self) -> impl Iterator<Item = &str> {
        let names = self.fields.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !FIELDS.contains(name))
    }

    fn missing(&self, name: &str, expected: &str) -> ScenarioError {
        let near = match nearest(name, self.remarks()) {
            Some(found) => format!("; most likely `{}` is meant to be it", excerpt(found)),
            None => String::new(),
        };
        ScenarioError::new(name, format!("missing, expected {expected}{near}"))
    }

    /// Replaces a field, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Box<RawValue>) {
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }

    /// The scenario on one line.
    pub fn to_line(&self) -> String {
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

    fn field<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ScenarioError> {
        let field = self.fields.iter().find(|(field, _)| field == name);
        field.map(|(_, value)| serde_json::from_str(value.get()).at(name)).transpose()
    }
}

/// What a settings file stands for.
#[derive(Serialize)]
struct SettingsQuestion<'a> {
    format: i64,
    name: &'a str,
    kind: &'static str,
    description: &'static str,
    input: Cases,
}

#[derive(Serialize)]
struct Cases {
    cases: [BTreeMap<String, String>; 1],
}

impl<'de> Deserialize<'de> for Scenario {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Scenario;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a scenario, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scenario, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(field, _)| *field == name) {
                        let message = format!("the field {name:?} is there twice");
                        return Err(serde::de::Error::custom(message));
                    }
                    fields.push((name, value));
                }
                Ok(Scenario { fields })
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
