//! Fewest and most instances.

/// Fewest and most instances; `max` 0 is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScaleBounds {
    /// Fewest instances.
    pub min: i32,
    /// Most instances; 0 for no bound.
    pub max: i32,
}

impl ScaleBounds {
    /// `decided` within the bounds. The lower bound wins where the two contradict each other and
    /// it is below it, the upper one otherwise, as in Knative.
    pub const fn apply(self, decided: i32) -> i32 {
        if decided < self.min {
            self.min
        } else if self.max != 0 && decided > self.max {
            self.max
        } else {
            decided
        }
    }
}
