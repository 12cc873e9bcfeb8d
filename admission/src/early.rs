//! When a reporter reports out of turn: a line has formed, or has doubled since it was told of.
//!
//! Reports come once a second, and a line that forms in between should not wait for its second. A
//! burst comes in over some milliseconds, and its first requests say little about its size; so a
//! line that has doubled since it was last told of is news as well. The machine says when to look
//! and whether to report; its owner has the timer, counts the line and sends.

use std::time::Duration;

use crate::time::Moment;

/// Reports out of turn are at least this far apart: the line of a revision that is just busy forms
/// and dissolves all the time.
pub const LEAST_GAP: Duration = Duration::from_millis(100);

/// When a line is worth a report of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlyReports {
    /// A line has formed that was not told of yet.
    formed: bool,
    /// How many waited when they were last told of.
    told: u32,
    not_before: Moment,
    look_at: Option<Moment>,
}

impl EarlyReports {
    /// Nothing waits, and a line that forms is told of at once.
    pub const fn new(now: Moment) -> Self {
        Self { formed: false, told: 0, not_before: now, look_at: None }
    }

    /// A line has formed, where there was none.
    pub fn queue_formed(&mut self) {
        self.formed = true;
    }

    /// When to [`look`](Self::look) next; `None` until a line forms or a report tells of one.
    pub const fn next_look(&self) -> Option<Moment> {
        if self.formed { Some(self.not_before) } else { self.look_at }
    }

    /// Whether to report now, while `waiting` are in line. Asked too early, the answer is no.
    pub fn look(&mut self, now: Moment, waiting: u32) -> bool {
        if self.next_look().is_none_or(|at| now < at) {
            return false;
        }
        let doubled = self.told > 0 && waiting >= self.told.saturating_mul(2);
        if self.formed || doubled {
            return true;
        }
        // A line that is gone will form anew.
        self.look_at = (waiting > 0).then(|| now.after(LEAST_GAP));
        false
    }

    /// A report was made out of turn, while `waiting` were in line.
    pub fn reported_early(&mut self, now: Moment, waiting: u32) {
        self.formed = false;
        self.told = waiting;
        self.not_before = now.after(LEAST_GAP);
        self.look_at = (waiting > 0).then_some(self.not_before);
    }

    /// A report was made in its turn, while `waiting` were in line. A line that formed and was not
    /// told of early yet still is: it may have grown since.
    pub fn reported_in_turn(&mut self, now: Moment, waiting: u32) {
        self.told = waiting;
        self.look_at = (waiting > 0).then(|| self.not_before.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    #[test]
    fn a_line_that_forms_is_told_of_at_once_and_then_not_for_a_while() {
        let mut early = EarlyReports::new(ms(0));
        assert_eq!(early.next_look(), None);
        assert!(!early.look(ms(5), 3), "nothing formed");
        early.queue_formed();
        assert_eq!(early.next_look(), Some(ms(0)));
        assert!(early.look(ms(10), 1));
        early.reported_early(ms(10), 1);
        early.queue_formed();
        assert!(!early.look(ms(109), 9), "too early");
        assert_eq!(early.next_look(), Some(ms(110)));
        assert!(early.look(ms(110), 1));
    }

    #[test]
    fn a_line_that_has_doubled_is_news_and_one_that_grew_a_little_is_not() {
        let mut early = EarlyReports::new(ms(0));
        early.queue_formed();
        early.reported_early(ms(0), 4);
        assert!(!early.look(ms(100), 7));
        assert_eq!(early.next_look(), Some(ms(200)));
        assert!(early.look(ms(200), 8));
    }

    #[test]
    fn a_line_that_is_gone_is_not_looked_at() {
        let mut early = EarlyReports::new(ms(0));
        early.reported_in_turn(ms(1_000), 2);
        assert_eq!(early.next_look(), Some(ms(1_000)), "it may be twice as long by now");
        assert!(!early.look(ms(1_000), 0));
        assert_eq!(early.next_look(), None);
    }

    #[test]
    fn a_report_in_turn_leaves_what_formed_to_be_told_of() {
        let mut early = EarlyReports::new(ms(0));
        early.reported_early(ms(950), 1);
        early.queue_formed();
        early.reported_in_turn(ms(1_000), 3);
        assert_eq!(early.next_look(), Some(ms(1_050)));
        assert!(early.look(ms(1_050), 3));
    }
}
