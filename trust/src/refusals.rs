//! How often refusals are logged: whoever guesses secrets must not fill a disk.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Refusals are logged at most this often.
pub const REFUSAL_LOG_EVERY: Duration = Duration::from_secs(10);

/// Counts refusals that are not logged.
#[derive(Debug, Default)]
pub struct RefusalLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl RefusalLog {
    /// Refusals suppressed since the last log line, if it is time for another; counts this one as
    /// suppressed when one was logged less than [`REFUSAL_LOG_EVERY`] ago.
    #[must_use]
    pub fn count(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        if state.last.is_some_and(|last| now.duration_since(last) < REFUSAL_LOG_EVERY) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_rarely_and_counted() {
        let (refusals, start) = (RefusalLog::default(), Instant::now());
        assert_eq!(refusals.count(start), Some(0));
        assert!((0..1_000).all(|_| refusals.count(start).is_none()));
        assert_eq!(refusals.count(start + REFUSAL_LOG_EVERY), Some(1_000));
    }
}
