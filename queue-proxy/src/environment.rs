//! Reading environment variables the way Go's sidecar reads them, but lenient where a rolling
//! upgrade would otherwise kill pods: an optional variable that is empty counts as absent.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_go_text::{parse_bool, parse_literal};
use tidegate_words::excerpt;

pub mod help;

pub use tidegate_knative::environment as keys;

/// Where variables come from: the process, or a map in a test or in a fuzz target.
pub trait Environment {
    /// The value of `key`, or `None` when it is not set. Bytes that are not UTF-8 are replaced.
    fn get(&self, key: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, key: &str) -> Option<String> {
        std::env::var_os(key).map(|value| value.to_string_lossy().into_owned())
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<String> {
        BTreeMap::get(self, key).cloned()
    }
}

/// What is wrong with a variable that has to exist and does not.
const MISSING: &str = "required, but not set";

/// One variable that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub key: String,
    /// What is wrong with it and what was expected.
    pub message: String,
}

impl Problem {
    /// Whether the variable has to exist and does not.
    pub fn is_missing(&self) -> bool {
        self.message == MISSING
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Reads variables and collects every problem, so that one start shows all of them.
#[derive(Debug)]
pub struct Reader<'a, E> {
    environment: &'a E,
    problems: Vec<Problem>,
}

impl<'a, E: Environment> Reader<'a, E> {
    /// A reader with no problem so far.
    pub fn new(environment: &'a E) -> Self {
        Self { environment, problems: Vec::new() }
    }

    /// The problems found.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Remembers a problem with `key`.
    pub fn reject(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem { key: key.to_owned(), message: message.into() });
    }

    /// A variable that has to exist; an empty string satisfies it, as it does Knative's.
    pub fn required(&mut self, key: &str) -> String {
        match self.environment.get(key) {
            Some(value) => value,
            None => {
                self.reject(key, MISSING);
                String::new()
            }
        }
    }

    /// A variable that may be absent; empty is absent.
    pub fn optional(&self, key: &str) -> Option<String> {
        self.environment.get(key).filter(|value| !value.is_empty())
    }

    /// A required integer in Go's syntax.
    pub fn required_integer(&mut self, key: &str) -> i64 {
        let Some(value) = self.environment.get(key) else {
            self.reject(key, MISSING);
            return 0;
        };
        self.integer(key, &value)
    }

    /// An optional integer in Go's syntax.
    pub fn optional_integer(&mut self, key: &str) -> Option<i64> {
        let value = self.optional(key)?;
        Some(self.integer(key, &value))
    }

    /// An optional integer within `range`.
    pub fn optional_within(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let number = self.optional_integer(key)?;
        if !range.contains(&number) {
            let (low, high) = (range.start(), range.end());
            self.reject(key, format!("{number} is out of range, expected {low} to {high}"));
            return None;
        }
        Some(number)
    }

    fn integer(&mut self, key: &str, value: &str) -> i64 {
        match parse_literal(value) {
            Ok(number) => number,
            Err(_) => {
                self.reject(key, format!("cannot convert '{}' to an integer", excerpt(value)));
                0
            }
        }
    }

    /// An optional boolean in Go's syntax; absent is false.
    pub fn flag(&mut self, key: &str) -> Switch {
        match self.optional(key) {
            None => Switch::Off,
            Some(value) => match parse_bool(&value) {
                Ok(true) => Switch::On,
                Ok(false) => Switch::Off,
                Err(_) => {
                    let found = excerpt(&value);
                    self.reject(
                        key,
                        format!("cannot convert '{found}' to a boolean, expected true or false"),
                    );
                    Switch::Off
                }
            },
        }
    }
}

/// Whether a feature is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Switch {
    /// The feature does nothing.
    #[default]
    Off,
    /// The feature works.
    On,
}

impl Switch {
    /// Whether this is [`Switch::On`].
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_and_names_its_key() {
        let mut environment = BTreeMap::new();
        environment.insert("NUMBER".to_owned(), "abc".to_owned());
        environment.insert("FLAG".to_owned(), "yes".to_owned());
        let mut reader = Reader::new(&environment);
        reader.required("ABSENT");
        reader.required_integer("NUMBER");
        reader.flag("FLAG");
        let problems = reader.into_problems();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["ABSENT", "NUMBER", "FLAG"]);
    }

    #[test]
    fn an_empty_optional_variable_is_absent() {
        let mut environment = BTreeMap::new();
        environment.insert("IDLE".to_owned(), String::new());
        let mut reader = Reader::new(&environment);
        assert_eq!(reader.optional_integer("IDLE"), None);
        assert_eq!(reader.flag("IDLE"), Switch::Off);
        assert!(reader.into_problems().is_empty());
    }
}
