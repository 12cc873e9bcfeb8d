//! What the activator has told the controller of the second that runs, in local mode.
//!
//! The activator reports once a second, and at once when a queue forms; the controller ends its
//! seconds by a clock of its own, and takes a second's load to be the average of what it was told
//! since the one before. So a second's average is of a time that ended up to a second ago.

use super::reporters::Load;
use crate::time::NANOS_PER_SEC;

/// The sums of the controller's meters, and when they are next added up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// Average concurrency times the length of what it is of, milliseconds.
    concurrency_ms: f64,
    requests: u64,
    length_ms: f64,
    ends_at: u64,
    ahead: u64,
}

/// The averages of a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SecondAverages {
    pub(crate) concurrency: f64,
    pub(crate) request_rate: f64,
}

impl Told {
    /// Nothing was told by `now` to a controller whose clock is so far `ahead`; nanoseconds.
    pub(crate) fn new(now: u64, ahead: u64) -> Self {
        let clock = now + ahead;
        let ends_at = (clock / NANOS_PER_SEC + 1) * NANOS_PER_SEC - ahead;
        Self { ends_at, ahead, ..Self::default() }
    }

    /// Adds a report about the last `length` nanoseconds.
    pub(crate) fn add(&mut self, load: Load, length: u64) {
        let length_ms = length as f64 / 1e6;
        self.concurrency_ms += load.concurrency * length_ms;
        self.requests += load.requests;
        self.length_ms += length_ms;
    }

    /// When the controller's second ends, if that is not when the activator reports: nanoseconds.
    pub(crate) fn ends_apart(&self) -> Option<u64> {
        (!self.ahead.is_multiple_of(NANOS_PER_SEC)).then_some(self.ends_at)
    }

    /// Ends the second if it is over by `now`, and says what was told of it, if anything was.
    pub(crate) fn end(&mut self, now: u64) -> Option<SecondAverages> {
        if now < self.ends_at {
            return None;
        }
        let ended = std::mem::replace(self, Self::new(now, self.ahead));
        (ended.length_ms > 0.0).then(|| SecondAverages {
            concurrency: ended.concurrency_ms / ended.length_ms,
            request_rate: ended.requests as f64 / (ended.length_ms / 1e3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_second_is_the_average_of_what_was_told_within_it() {
        let mut told = Told::new(0, 400 * MS);
        assert_eq!(told.ends_apart(), Some(600 * MS));
        told.add(Load { concurrency: 2.0, requests: 3 }, 250 * MS);
        assert_eq!(told.end(599 * MS), None);
        let second = SecondAverages { concurrency: 2.0, request_rate: 12.0 };
        assert_eq!(told.end(601 * MS), Some(second));
        told.add(Load { concurrency: 4.0, requests: 1 }, 750 * MS);
        told.add(Load { concurrency: 0.0, requests: 0 }, 250 * MS);
        assert_eq!(told.ends_apart(), Some(1_600 * MS));
        let second = SecondAverages { concurrency: 3.0, request_rate: 1.0 };
        assert_eq!(told.end(1_600 * MS), Some(second));
    }

    #[test]
    fn a_second_of_which_nothing_was_told_has_no_average() {
        let mut told = Told::new(0, 0);
        assert_eq!(told.ends_apart(), None);
        assert_eq!(told.end(1_000 * MS), None);
        assert_eq!(told.ends_at, 2_000 * MS);
    }
}
