//! How fast the traffic goes to the new revision.

use crate::health::Gate;
use crate::weight::Weight;

/// Most steps of a rollout: one for each percent.
pub const STEPS_MAX: usize = 100;

/// Longest time at one step, and of a linear rollout: a week. What takes longer is steered by hand.
pub const TIME_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// Shortest time between two changes of a linear rollout. An ingress may read all of its
/// configuration anew for each.
pub const LINEAR_PERIOD_MIN_MS: u64 = 1_000;

/// Everything that a rollout is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How fast to go.
    pub strategy: Strategy,
    /// What the new revision must be like.
    pub gate: Gate,
}

/// How fast to go. After its last step, all of the traffic goes to the new revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strategy(pub(crate) Pace);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pace {
    Steps(Vec<Step>),
    Linear { first: Weight, over_ms: u64, period_ms: u64 },
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The new revision's share.
    pub weight: Weight,
    /// For how long at least.
    pub hold_ms: u64,
}

/// Why a strategy cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrategyError {
    /// There is no step, or there are too many.
    #[error("{0} steps cannot be used: expected 1 to {STEPS_MAX}")]
    StepCount(usize),
    /// A weight is not above the one before, or is nothing.
    #[error(
        "step {number} sends {weight} to the new revision: expected more than the step before, \
         and more than 0 %"
    )]
    NotRising {
        /// Which step, from 1.
        number: usize,
        /// Its weight.
        weight: Weight,
    },
    /// A time is too long.
    #[error("{0} ms is too long: expected at most a week, {TIME_MAX_MS} ms")]
    TooLong(u64),
    /// A linear rollout has no time, or none between two changes.
    #[error(
        "a linear rollout over {over_ms} ms with a change each {period_ms} ms cannot be followed: \
         expected at least {LINEAR_PERIOD_MIN_MS} ms between two, and no less in all"
    )]
    NoTime {
        /// In all.
        over_ms: u64,
        /// Between two changes.
        period_ms: u64,
    },
}

impl Strategy {
    /// Step by step, each with more than the one before.
    ///
    /// # Errors
    ///
    /// When there is no step or too many, weights do not rise, or a time is too long.
    pub fn steps(steps: Vec<Step>) -> Result<Self, StrategyError> {
        if steps.is_empty() || steps.len() > STEPS_MAX {
            return Err(StrategyError::StepCount(steps.len()));
        }
        let mut before = Weight::ZERO;
        for (index, step) in steps.iter().enumerate() {
            if step.weight <= before {
                let (number, weight) = (index + 1, step.weight);
                return Err(StrategyError::NotRising { number, weight });
            }
            if step.hold_ms > TIME_MAX_MS {
                return Err(StrategyError::TooLong(step.hold_ms));
            }
            before = step.weight;
        }
        Ok(Self(Pace::Steps(steps)))
    }

    /// From `first` to all of the traffic in `over_ms`, with a change each `period_ms`.
    ///
    /// # Errors
    ///
    /// When `first` is nothing, or a time is too short or too long.
    pub fn linear(first: Weight, over_ms: u64, period_ms: u64) -> Result<Self, StrategyError> {
        if first == Weight::ZERO {
            return Err(StrategyError::NotRising { number: 1, weight: first });
        }
        if over_ms > TIME_MAX_MS {
            return Err(StrategyError::TooLong(over_ms));
        }
        if period_ms < LINEAR_PERIOD_MIN_MS || over_ms < period_ms {
            return Err(StrategyError::NoTime { over_ms, period_ms });
        }
        Ok(Self(Pace::Linear { first, over_ms, period_ms }))
    }

    /// The new revision's share at a step.
    pub(crate) fn weight_at(&self, step: usize) -> Weight {
        match &self.0 {
            Pace::Steps(steps) => steps.get(step).map_or(Weight::WHOLE, |step| step.weight),
            Pace::Linear { first, over_ms, period_ms } => {
                let elapsed_ms = (step as u64).saturating_mul(*period_ms);
                Weight::of_parts(elapsed_ms, *over_ms).max(*first)
            }
        }
    }

    /// How long a step takes at least, in milliseconds.
    pub(crate) fn hold_ms(&self, step: usize) -> u64 {
        match &self.0 {
            Pace::Steps(steps) => steps.get(step).map_or(0, |step| step.hold_ms),
            Pace::Linear { period_ms, .. } => *period_ms,
        }
    }

    /// Whether each step is to be judged by requests of its own. The many steps of a linear rollout
    /// are judged by all requests since it began.
    pub(crate) fn is_judged_by_step(&self) -> bool {
        matches!(self.0, Pace::Steps(_))
    }

    /// The last step whose share is no more than `weight`: where a rollout goes on that was at it.
    pub(crate) fn step_of(&self, weight: Weight) -> usize {
        match &self.0 {
            Pace::Steps(steps) => steps.iter().rposition(|step| step.weight <= weight).unwrap_or(0),
            Pace::Linear { over_ms, period_ms, .. } => {
                let permille = u64::from(weight.permille());
                let elapsed_ms = over_ms.saturating_mul(permille) / 1_000;
                usize::try_from(elapsed_ms / period_ms).unwrap_or(usize::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(permille: i64) -> Weight {
        Weight::from_permille(permille).expect("it is in range")
    }

    fn step(permille: i64) -> Step {
        Step { weight: weight(permille), hold_ms: 1_000 }
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_what_is_expected() {
        let steps = |of: &[i64]| Strategy::steps(of.iter().map(|p| step(*p)).collect());
        assert!(steps(&[1, 10, 1_000]).is_ok());
        let refused = [
            (steps(&[]).err(), "0 steps"),
            (steps(&[0, 10]).err(), "step 1 sends 0 %"),
            (steps(&[10, 10]).err(), "step 2 sends 1 %"),
            (steps(&(1..=101).collect::<Vec<i64>>()).err(), "101 steps"),
            (Strategy::linear(Weight::ZERO, 60_000, 1_000).err(), "more than 0 %"),
            (Strategy::linear(weight(1), 60_000, 0).err(), "at least 1000 ms"),
            (Strategy::linear(weight(1), 500, 1_000).err(), "over 500 ms"),
            (Strategy::linear(weight(1), u64::MAX, 1_000).err(), "at most a week"),
        ];
        for (error, part) in refused {
            let told = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(told.contains(part), "{told:?} does not say {part:?}");
        }
    }

    #[test]
    fn a_linear_rollout_rises_by_the_clock() {
        let linear = Strategy::linear(weight(50), 100_000, 10_000).expect("it can be followed");
        let weights: Vec<u16> = (0..=10).map(|step| linear.weight_at(step).permille()).collect();
        assert_eq!(weights, [50, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]);
        for step in 1..=10 {
            assert_eq!(linear.step_of(linear.weight_at(step)), step);
        }
    }

    #[test]
    fn a_rollout_that_is_taken_up_again_goes_on_where_it_was() {
        let strategy = Strategy::steps([10, 100, 500].map(step).to_vec()).expect("they rise");
        for (permille, step) in [(0, 0), (10, 0), (99, 0), (100, 1), (499, 1), (500, 2), (1_000, 2)]
        {
            assert_eq!(strategy.step_of(weight(permille)), step, "{permille}");
        }
        assert_eq!(strategy.weight_at(3), Weight::WHOLE);
    }
}
