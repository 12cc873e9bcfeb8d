//! Restart or give up: what follows when instances end unexpectedly.

use tidegate_autoscaler::Timestamp;

/// Instances that may fail before any has ever been ready. Three, because the first may have lost
/// a race for its port.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

/// An instance that was ready for this long is replaced at once, and the count restarts.
pub(crate) const STEADY_MS: u64 = 10_000;

const FIRST_WAIT_MS: u64 = 100;
const LONGEST_WAIT_MS: u64 = 30_000;

/// Counts failures and spaces attempts.
#[derive(Debug, Default)]
pub(crate) struct CrashLoopBackoff {
    failures: u32,
    ever_ready: bool,
    not_before: Option<Timestamp>,
}

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    /// Try again after this many milliseconds.
    RetryIn(u64),
    /// No instance was ever ready: do not try again.
    GiveUp { attempts: u32 },
}

impl CrashLoopBackoff {
    pub(crate) fn became_ready(&mut self) {
        self.ever_ready = true;
    }

    /// An instance failed at `now` that had been ready for `ready_ms`, if ever.
    pub(crate) fn failed(&mut self, now: Timestamp, ready_ms: Option<u64>) -> Restart {
        if ready_ms.is_some_and(|ms| ms >= STEADY_MS) {
            self.failures = 0;
            self.not_before = None;
            return Restart::RetryIn(0);
        }
        self.failures = self.failures.saturating_add(1);
        if !self.ever_ready && self.failures >= ATTEMPTS_MAX {
            return Restart::GiveUp { attempts: self.failures };
        }
        // A single death, however young, is replaced at once: a request may wait for it.
        let doublings = self.failures - 1;
        let wait_ms = match doublings {
            0 if self.ever_ready => 0,
            _ => FIRST_WAIT_MS
                .saturating_mul(1_u64.checked_shl(doublings).unwrap_or(u64::MAX))
                .min(LONGEST_WAIT_MS),
        };
        self.not_before = Some(now.plus_millis(wait_ms));
        Restart::RetryIn(wait_ms)
    }

    /// How many failed since one was last ready for [`STEADY_MS`].
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next instance may be started, if it must wait.
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// Whether an instance may be started at `now`.
    pub(crate) fn may_start(&mut self, now: Timestamp) -> bool {
        self.not_before = self.not_before.filter(|until| *until > now);
        self.not_before.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_worked_is_given_up() {
        let mut crash = CrashLoopBackoff::default();
        let now = Timestamp::EPOCH;
        assert_eq!(crash.failed(now, None), Restart::RetryIn(100));
        assert_eq!(crash.retry_at(), Some(now.plus_millis(100)));
        assert!(!crash.may_start(now) && crash.may_start(now.plus_millis(100)));
        assert_eq!(crash.failed(now, None), Restart::RetryIn(200));
        assert_eq!(crash.failed(now, None), Restart::GiveUp { attempts: 3 });
    }

    #[test]
    fn what_worked_once_is_tried_for_ever_but_slowly() {
        let mut crash = CrashLoopBackoff::default();
        crash.became_ready();
        let now = Timestamp::EPOCH;
        let waits: Vec<Restart> = (0..12).map(|_| crash.failed(now, Some(5))).collect();
        assert_eq!(waits[0], Restart::RetryIn(0));
        assert_eq!(waits[1], Restart::RetryIn(200));
        assert_eq!(waits[11], Restart::RetryIn(LONGEST_WAIT_MS));
        assert_eq!(crash.failed(now, Some(STEADY_MS)), Restart::RetryIn(0));
        assert!(crash.may_start(now));
    }
}
