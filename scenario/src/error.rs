//! What can be wrong with a scenario: where, and what.

use std::fmt;

use tidegate_words::shorten;

/// A scenario that cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    /// The field, as a path such as `input.ticks[3].ready`; empty for the whole text.
    path: String,
    message: String,
}

impl std::error::Error for ScenarioError {}

impl ScenarioError {
    /// The field, as a path such as `input.ticks[3].ready`; empty for the whole text.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn new(path: impl Into<String>, message: impl fmt::Display) -> Self {
        let message = shorten(&message.to_string()).into_owned();
        Self { path: shorten(&path.into()).into_owned(), message }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Says where a library's error happened.
pub(crate) trait At<T> {
    /// The error at `path`.
    fn at(self, path: impl Into<String>) -> Result<T, ScenarioError>;
}

impl<T, E: fmt::Display> At<T> for Result<T, E> {
    fn at(self, path: impl Into<String>) -> Result<T, ScenarioError> {
        self.map_err(|error| ScenarioError::new(path, error))
    }
}
