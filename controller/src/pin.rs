//! Bounds that a person sets in place of those that were declared.

use std::fmt;
use std::time::Duration;

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::lifecycle::LifecycleSpec;
use tidegate_autoscaler::settings::ScaleBounds;

/// Other bounds than were declared, for a while or until they are taken back. With the least equal
/// to the most it is a fixed number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Fewest and most instances.
    pub bounds: ScaleBounds,
    /// For how long; `None` is until it is taken back.
    pub for_ms: Option<u64>,
}

/// A pin that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// Fewest and most instances.
    pub bounds: ScaleBounds,
    /// Until when, if not until it is taken back.
    pub until: Option<Timestamp>,
}

impl Pin {
    /// The pin as it holds from `now` on.
    #[must_use]
    pub fn from(self, now: Timestamp) -> Pinned {
        Pinned { bounds: self.bounds, until: self.for_ms.map(|ms| now.plus_millis(ms)) }
    }

    /// The pin of a revision that cannot have two instances.
    #[must_use]
    pub(crate) fn of_one_at_most(self) -> Self {
        let bounds = ScaleBounds { min: self.bounds.min.min(1), max: 1 };
        Self { bounds, ..self }
    }
}

impl Pinned {
    /// The declared rules with these bounds. To start with, there are as many as would be kept.
    #[must_use]
    pub(crate) fn within(&self, declared: &LifecycleSpec) -> LifecycleSpec {
        let initial_scale = self.bounds.apply(declared.initial_scale);
        LifecycleSpec { bounds: self.bounds, initial_scale, ..declared.clone() }
    }
}

impl fmt::Display for Pin {
    /// `at 3 instances for 10m`, `at 1 to 5 instances`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ScaleBounds { min, max } = self.bounds;
        match (min, max) {
            (1, 1) => formatter.write_str("at 1 instance")?,
            (min, 0) => write!(formatter, "at {min} instances or more")?,
            (min, max) if min == max => write!(formatter, "at {min} instances")?,
            (min, max) => write!(formatter, "at {min} to {max} instances")?,
        }
        match self.for_ms {
            Some(ms) => write!(formatter, " for {:?}", Duration::from_millis(ms)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_says_how_many_and_for_how_long() {
        let pin = |min, max, for_ms| Pin { bounds: ScaleBounds { min, max }, for_ms }.to_string();
        assert_eq!(pin(3, 3, Some(90_000)), "at 3 instances for 90s");
        assert_eq!(pin(1, 1, None), "at 1 instance");
        assert_eq!(pin(1, 5, None), "at 1 to 5 instances");
        assert_eq!(pin(2, 0, None), "at 2 instances or more");
    }
}
