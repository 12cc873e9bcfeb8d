//! When a reporter reports out of turn: a queue has formed, or has doubled since it was reported.
//!
//! Reports are sent once a second, and a queue that forms in between should not wait for the next
//! one. A burst arrives over some milliseconds, and its first requests do not show its size; so a
//! queue that has doubled since the last report is reported as well. The machine decides when to
//! check and whether to report; its owner has the timer, counts the queue and sends.

use std::time::Duration;

use crate::time::Moment;

/// The shortest time between reports out of turn: the queue of a busy revision forms and empties
/// all the time.
pub const LEAST_GAP: Duration = Duration::from_millis(100);

/// Decides when a queue is reported out of turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyReports {
    /// A queue has formed that was not reported yet.
    formed: bool,
    /// How many waited at the last report.
    reported: u32,
    not_before: Moment,
    check_at: Option<Moment>,
}

impl EarlyReports {
    /// The queue is empty, and one that forms is reported at once.
    pub const fn new(now: Moment) -> Self {
        Self { formed: false, reported: 0, not_before: now, check_at: None }
    }

    /// A queue has formed.
    pub fn queue_formed(&mut self) {
        self.formed = true;
    }

    /// When to [`check`](Self::check) next; `None` until a queue forms or is reported.
    pub const fn next_check(&self) -> Option<Moment> {
        if self.formed { Some(self.not_before) } else { self.check_at }
    }

    /// Whether to report now, with `waiting` requests queued. False when it is too early.
    pub fn check(&mut self, now: Moment, waiting: u32) -> bool {
        if self.next_check().is_none_or(|at| now < at) {
            return false;
        }
        let doubled = self.reported > 0 && waiting >= self.reported.saturating_mul(2);
        if self.formed || doubled {
            return true;
        }
        // An empty queue is reported again when it forms.
        self.check_at = (waiting > 0).then(|| now.after(LEAST_GAP));
        false
    }

    /// A report was sent out of turn, with `waiting` requests queued.
    pub fn reported_early(&mut self, now: Moment, waiting: u32) {
        self.formed = false;
        self.reported = waiting;
        self.not_before = now.after(LEAST_GAP);
        self.check_at = (waiting > 0).then_some(self.not_before);
    }

    /// A report was sent in its turn, with `waiting` requests queued. A queue that formed before is
    /// still reported early, because it may have grown since.
    pub fn reported_in_turn(&mut self, now: Moment, waiting: u32) {
        self.reported = waiting;
        self.check_at = (waiting > 0).then(|| self.not_before.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_queue_that_forms_is_reported_at_once_and_then_after_the_gap() {
        let mut early = EarlyReports::new(ms(0));
        assert_eq!(early.next_check(), None);
        assert!(!early.check(ms(5), 3), "nothing formed");
        early.queue_formed();
        assert_eq!(early.next_check(), Some(ms(0)));
        assert!(early.check(ms(10), 1));
        early.reported_early(ms(10), 1);
        early.queue_formed();
        assert!(!early.check(ms(109), 9), "too early");
        assert_eq!(early.next_check(), Some(ms(110)));
        assert!(early.check(ms(110), 1));
    }

    #[test]
    fn a_queue_that_has_doubled_is_reported_and_one_that_grew_less_is_not() {
        let mut early = EarlyReports::new(ms(0));
        early.queue_formed();
        early.reported_early(ms(0), 4);
        assert!(!early.check(ms(100), 7));
        assert_eq!(early.next_check(), Some(ms(200)));
        assert!(early.check(ms(200), 8));
    }

    #[test]
    fn an_empty_queue_is_not_checked() {
        let mut early = EarlyReports::new(ms(0));
        early.reported_in_turn(ms(1_000), 2);
        assert_eq!(early.next_check(), Some(ms(1_000)), "it may be twice as long by now");
        assert!(!early.check(ms(1_000), 0));
        assert_eq!(early.next_check(), None);
    }

    #[test]
    fn a_report_in_turn_does_not_replace_an_early_one() {
        let mut early = EarlyReports::new(ms(0));
        early.reported_early(ms(950), 1);
        early.queue_formed();
        early.reported_in_turn(ms(1_000), 3);
        assert_eq!(early.next_check(), Some(ms(1_050)));
        assert!(early.check(ms(1_050), 3));
    }
}
