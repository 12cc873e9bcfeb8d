//! Reading environment variables the way Go's sidecar reads them, but lenient where a rolling
//! upgrade would otherwise kill pods: an optional variable that is empty counts as absent.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_words::excerpt;

pub mod help;
pub mod keys;

/// Where variables come from: the process, or a map in a test or in a fuzz target.
pub trait Environment {
    /// The value of `key`, or `None` when it is not set. Bytes that are not UTF-8 are replaced.
    fn get(&self, key: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

// === impl ProcessEnvironment ===

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

// === impl Problem ===

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

// === impl Reader ===

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
        match parse_go_integer(value) {
            Some(number) => number,
            None => {
                self.reject(key, format!("cannot convert '{}' to an integer", excerpt(value)));
                0
            }
        }
    }

    /// An optional boolean in Go's syntax; absent is false.
    pub fn flag(&mut self, key: &str) -> Switch {
        match self.optional(key) {
            None => Switch::Off,
            Some(value) => match parse_go_boolean(&value) {
                Some(true) => Switch::On,
                Some(false) => Switch::Off,
                None => {
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

// === impl Switch ===

impl Switch {
    /// Whether this is [`Switch::On`].
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// An integer as Go's `strconv.ParseInt(value, 0, 64)` reads it: an optional sign, a base prefix
/// (`0x`, `0o`, `0b`, or a leading zero for octal), and underscores between digits when a prefix
/// names the base or the number is decimal.
pub fn parse_go_integer(value: &str) -> Option<i64> {
    let (negative, digits) = match value.as_bytes().first()? {
        b'-' => (true, &value[1..]),
        b'+' => (false, &value[1..]),
        _ => (false, value),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body, after_prefix) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest, true)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest, true)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest, true)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..], true)
    } else {
        (10, lower.as_str(), false)
    };
    let magnitude = parse_digits(body, radix, after_prefix)?;
    let signed = if negative { -magnitude } else { magnitude };
    i64::try_from(signed).ok()
}

fn parse_digits(body: &str, radix: u32, after_prefix: bool) -> Option<i128> {
    let mut magnitude: i128 = 0;
    // An underscore must stand between digits, or between the prefix and a digit.
    let mut underscore_allowed = after_prefix;
    let mut ended_in_digit = false;
    for character in body.chars() {
        if character == '_' {
            if !underscore_allowed {
                return None;
            }
            underscore_allowed = false;
            ended_in_digit = false;
            continue;
        }
        let digit = character.to_digit(radix)?;
        magnitude = magnitude * i128::from(radix) + i128::from(digit);
        // Beyond 64 bits the answer cannot change any more, and the product must not overflow.
        if magnitude > 1 << 64 {
            return None;
        }
        underscore_allowed = true;
        ended_in_digit = true;
    }
    ended_in_digit.then_some(magnitude)
}

/// A boolean as Go's `strconv.ParseBool` reads it.
pub fn parse_go_boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_follow_go() {
        for (text, expected) in [
            ("16", Some(16)),
            ("0x10", Some(16)),
            ("0X1f", Some(31)),
            ("010", Some(8)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("1_000", Some(1000)),
            ("0x_10", Some(16)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("99999999999999999999999999999999999999999999", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("08", None),
            ("abc", None),
            (" 1", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_go_integer(text), expected, "{text:?}");
        }
    }

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
