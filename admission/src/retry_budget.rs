//! How many requests may be sent a second time: at most a share of all.
//!
//! A retry is a request that nobody asked for. Where everything fails, as many retries as requests
//! are twice the load, just when there is too much of it.

/// Retries that may be saved up, and that there are at first: as many as repair one instance that
/// goes with what it had, and too few to be a storm.
pub const RETRIES_SAVED_MAX: u32 = 20;

/// A thousandth of a retry is the unit.
const UNIT: u64 = 1_000;

/// What is left of the retries of one revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    permille: u16,
    saved: u64,
}

impl RetryBudget {
    /// Retries for this share of the requests, in thousandths; zero allows none.
    pub const fn new(permille: u16) -> Self {
        let saved = if permille == 0 { 0 } else { RETRIES_SAVED_MAX as u64 * UNIT };
        Self { permille, saved }
    }

    /// A request arrived for the first time.
    pub fn arrived(&mut self) {
        let most = u64::from(RETRIES_SAVED_MAX) * UNIT;
        self.saved = (self.saved + u64::from(self.permille)).min(most.max(self.saved));
    }

    /// Takes a retry. False if none is left.
    #[must_use = "without one the request must not be sent again"]
    pub const fn take(&mut self) -> bool {
        let is_left = self.saved >= UNIT;
        if is_left {
            self.saved -= UNIT;
        }
        is_left
    }

    /// A retry that was taken was not made after all.
    pub const fn put_back(&mut self) {
        self.saved += UNIT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Retries that were granted to requests all of which fail.
    fn granted(permille: u16, requests: u32) -> u32 {
        let mut budget = RetryBudget::new(permille);
        (0..requests)
            .map(|_| {
                budget.arrived();
                u32::from(budget.take())
            })
            .sum()
    }

    #[test]
    fn retries_are_a_share_of_requests_however_many_fail() {
        assert_eq!(granted(0, 10_000), 0);
        // What comes while nothing more can be saved is lost.
        assert_eq!(granted(100, 10_000), 999 + RETRIES_SAVED_MAX);
        assert_eq!(granted(1_000, 10_000), 10_000);
    }

    #[test]
    fn what_is_saved_in_quiet_times_is_bounded() {
        let mut budget = RetryBudget::new(200);
        (0..100_000).for_each(|_| budget.arrived());
        let burst = (0..1_000).filter(|_| budget.take()).count();
        assert_eq!(burst, RETRIES_SAVED_MAX as usize);
    }
}
