//! What a kind gets besides its input.

use serde::Deserialize;
use tidegate_autoscaler::Timestamp;

use crate::envelope::MAX_TIME_MS;
use crate::rules::Rules;

/// What a kind's module gets besides the input.
pub(crate) struct Context {
    /// When the scenario's own time is 0.
    pub(crate) base_unix_ms: i64,
    /// Whose rules count.
    pub(crate) rules: Rules,
    /// Takes each decision's reason.
    pub(crate) explanations: Explanations,
}

/// The reasons of a scenario's decisions, where they are asked for.
#[derive(Debug)]
pub(crate) struct Explanations {
    sentences: Option<Vec<String>>,
}

impl Explanations {
    /// Keeps reasons.
    pub(crate) const fn kept() -> Self {
        Self { sentences: Some(Vec::new()) }
    }

    /// Keeps none.
    pub(crate) const fn dropped() -> Self {
        Self { sentences: None }
    }

    /// Adds a reason, which is only put into words if it is kept.
    pub(crate) fn say(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(sentences) = &mut self.sentences {
            sentences.push(sentence());
        }
    }

    /// The reasons, if they were kept.
    pub(crate) fn into_sentences(self) -> Option<Vec<String>> {
        self.sentences
    }
}

/// A time of a scenario, in milliseconds after its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct TimeMs(i64);

impl TimeMs {
    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The point in time.
    pub(crate) fn after(self, base_unix_ms: i64) -> Timestamp {
        Timestamp::from_millis(base_unix_ms.saturating_add(self.0))
    }
}

impl TryFrom<i64> for TimeMs {
    type Error = String;

    fn try_from(ms: i64) -> Result<Self, String> {
        if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&ms) {
            return Ok(Self(ms));
        }
        Err(format!("the time {ms}, expected at most {MAX_TIME_MS} ms either way"))
    }
}
