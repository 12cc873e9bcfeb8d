//! How long to wait before the next attempt to connect.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// Waits double from [`initial`](Self::initial) to [`longest`](Self::longest); each is then cut by
/// a random part of up to a half, so that a fleet does not come back in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait. Short: a controller that restarts is back within a fraction of a second.
    pub initial: Duration,
    /// The longest wait. A request at zero may have to wait this long for a controller that has
    /// just come back, and every reporter is to be back within a second of its start.
    pub longest: Duration,
    /// The longest wait after a refusal: the same hello will not be accepted a moment later, but a
    /// controller may be reconfigured.
    pub longest_refused: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(50),
            longest: Duration::from_millis(800),
            longest_refused: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait before attempt number `failures + 1`, with `random` choosing the jitter.
    #[must_use]
    pub fn wait(&self, failures: u32, random: u64) -> Duration {
        self.within(self.longest, failures, random)
    }

    /// The wait after the controller has refused us `refusals + 1` times in a row.
    #[must_use]
    pub fn wait_refused(&self, refusals: u32, random: u64) -> Duration {
        self.within(self.longest_refused, refusals, random)
    }

    fn within(&self, longest: Duration, failures: u32, random: u64) -> Duration {
        let doubled = self.initial.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        let full = doubled.min(longest);
        // One of 1,024 steps between half and the whole.
        let cut = u32::try_from(random % 1_024).unwrap_or(0);
        full - full / 2_048 * cut
    }

    /// A number that differs from process to process and from call to call.
    #[must_use]
    pub fn random() -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff {
            initial: Duration::from_millis(100),
            longest: Duration::from_millis(700),
            ..Backoff::default()
        };
        let waits: Vec<u128> =
            (0..5).map(|failures| backoff.wait(failures, 0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 700, 700]);
        assert_eq!(backoff.wait(u32::MAX, 0), backoff.longest);
        assert_eq!(backoff.wait_refused(u32::MAX, 0), Duration::from_secs(30));
    }

    #[test]
    fn jitter_cuts_at_most_half() {
        let backoff = Backoff::default();
        for random in [0, 1, 511, 1_023, u64::MAX] {
            let wait = backoff.wait(3, random);
            assert!(wait <= backoff.wait(3, 0) && wait >= backoff.wait(3, 0) / 2, "{wait:?}");
        }
    }
}
