//! What is wrong with settings: every finding names the key, the value and what is allowed.

use std::fmt;

use tidegate_words::excerpt;

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The key or annotation, as it was written.
    pub key: String,
    /// The value as it was written, or the default where the value was not given.
    pub value: String,
    /// What would have been accepted.
    pub expected: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = (excerpt(&self.key), excerpt(&self.value));
        write!(f, "{key} is \"{value}\", expected {}", self.expected)
    }
}

/// Everything that is wrong with one set of settings, in the order of the documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// The findings; there is at least one.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// The findings, owned.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0
    }

    /// A single finding, for callers that check more than settings alone can show.
    pub fn one(violation: Violation) -> Self {
        Self(vec![violation])
    }

    /// Success when nothing was found.
    pub(super) fn check(found: Vec<Violation>) -> Result<(), Self> {
        if found.is_empty() { Ok(()) } else { Err(Self(found)) }
    }
}

impl fmt::Display for Violations {
    /// One finding per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// How closely settings are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Tidegate's own default: what Knative checks, and also what it lets through to its harm:
    /// NaN and infinities, a panic threshold that panics for ever, bounds that contradict each
    /// other across the cluster's settings and the annotations.
    #[default]
    Strict,
    /// Exactly what Knative accepts, for equality with it.
    Knative,
}

/// Collects findings while settings are read.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) strictness: Strictness,
    found: Vec<Violation>,
}

impl Findings {
    pub(super) fn new(strictness: Strictness) -> Self {
        Self { strictness, found: Vec::new() }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strictness == Strictness::Strict
    }

    pub(super) fn add(&mut self, key: &str, value: impl ToString, expected: impl Into<String>) {
        let (key, value) = (key.to_owned(), value.to_string());
        self.found.push(Violation { key, value, expected: expected.into() });
    }

    pub(super) fn finish(self) -> Result<(), Violations> {
        Violations::check(self.found)
    }
}

/// Whether a value lies outside a closed range. Not-a-number does not, as in Knative's own
/// comparisons; strict reading refuses it elsewhere.
pub(super) fn outside(value: f64, least: f64, most: f64) -> bool {
    value < least || value > most
}
