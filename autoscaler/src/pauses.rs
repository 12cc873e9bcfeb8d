//! How long a revision was quiet between its requests: tells a pause that is about to end from one
//! that outlasts the last instance anyway.
//!
//! By Knative's rule the last instance stays for a stable window after the last request, whether or
//! not a request ever comes in that time. Of a function that is called every five minutes the whole
//! window is paid for each time and saves nothing; one that is called every seventy seconds starts
//! anew each time, ten seconds after its instance has gone. So the pauses of a revision are counted
//! by their length, and what is left of those that lasted as long as the present one tells how it
//! is likely to go on.

use crate::time::Timestamp;

/// Lengths of pauses that are told apart within a stable window: under two seconds of Knative's
/// minute each, which is how often it is decided.
const WINDOW: usize = 32;

/// Lengths in all. Beyond two windows an instance is not kept for what may come, so that a guess
/// costs at most as much again as Knative's rule.
const BEYOND: usize = 2 * WINDOW;

/// The shortest quiet time that may be taken for a long pause: a sixteenth of the window, two ticks
/// of Knative's, so that a breath between two requests never is.
const LEAST_QUIET: usize = WINDOW / 16;

/// Pauses of at least the present length that must be remembered before they are trusted: two may
/// be chance.
const FEWEST: u32 = 3;

/// Of so many pauses that lasted as long as the present one, one may have ended within the window
/// and is taken for an exception.
const EXCEPTION: u32 = 32;

/// What the pauses so far say of the one that a revision is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Outlook {
    /// Too little to go by anything but the windows.
    #[default]
    Open,
    /// Those that lasted as long outlasted the stable window, and most of them twice that time.
    Long,
    /// It has outlasted the stable window, but at least half of those that had ended before twice
    /// that time.
    Soon,
}

/// The pauses of one revision, counted by length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pauses {
    /// How many ended after so many lengths; those that lasted longer than all of them come last.
    ended: [u8; BEYOND + 1],
    /// The last second that had requests.
    last_busy: Option<Timestamp>,
}

impl Pauses {
    pub(crate) const NONE: Pauses = Pauses { ended: [0; BEYOND + 1], last_busy: None };

    /// Notes that there were requests in the second of `at`.
    pub(crate) fn note_busy(&mut self, at: Timestamp, window_ms: u64) {
        // Reports of several reporters come a little out of order; what is late ends no pause.
        let Some(before) = self.last_busy.replace(self.last_busy.map_or(at, |last| last.max(at)))
        else {
            return;
        };
        let length = length_of(at.millis_since(before), window_ms);
        if length < LEAST_QUIET {
            return;
        }
        if self.ended[length] == u8::MAX {
            // Whenever a count is full, what is old weighs half as much: habits change.
            self.ended.iter_mut().for_each(|count| *count /= 2);
        }
        self.ended[length] += 1;
    }

    /// What is to be expected at `now`.
    pub(crate) fn outlook(&self, now: Timestamp, window_ms: u64) -> Outlook {
        let Some(last) = self.last_busy else { return Outlook::Open };
        let length = length_of(now.millis_since(last), window_ms);
        if !(LEAST_QUIET..BEYOND).contains(&length) {
            return Outlook::Open;
        }
        let soon = sum(&self.ended[length..BEYOND]);
        let all = soon + u32::from(self.ended[BEYOND]);
        let within = if length < WINDOW { sum(&self.ended[length..WINDOW]) } else { 0 };
        let ends = soon * 2 >= all;
        match (length < WINDOW, ends) {
            _ if all < FEWEST => Outlook::Open,
            (false, true) => Outlook::Soon,
            (true, false) if within * EXCEPTION <= all => Outlook::Long,
            _ => Outlook::Open,
        }
    }

    /// Forgets all pauses, whose lengths are parts of a window that is another now.
    pub(crate) fn forget(&mut self) {
        self.ended = [0; BEYOND + 1];
    }
}

/// The shortest quiet time after which a pause may be held to be a long one, in milliseconds.
pub(crate) fn least_quiet_ms(window_ms: u64) -> u64 {
    window_ms.saturating_mul(LEAST_QUIET as u64) / WINDOW as u64
}

/// The length of a pause in parts of the window, [`BEYOND`] if it outlasts two of them.
fn length_of(pause_ms: u64, window_ms: u64) -> usize {
    let parts = pause_ms.saturating_mul(WINDOW as u64) / window_ms.max(1);
    usize::try_from(parts).unwrap_or(BEYOND).min(BEYOND)
}

fn sum(counts: &[u8]) -> u32 {
    counts.iter().map(|&count| u32::from(count)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: u64 = 60_000;

    /// The outlook so many seconds after the last of requests with these pauses, in seconds.
    fn after(pauses_s: &[u64], quiet_s: u64) -> Outlook {
        let mut pauses = Pauses::NONE;
        let mut at = Timestamp::from_secs(1_000);
        pauses.note_busy(at, WINDOW_MS);
        for pause_s in pauses_s {
            at = at.plus_millis(pause_s * 1_000);
            pauses.note_busy(at, WINDOW_MS);
        }
        pauses.outlook(at.plus_millis(quiet_s * 1_000), WINDOW_MS)
    }

    #[test]
    fn a_timer_of_five_minutes_lets_go_at_once() {
        assert_eq!(after(&[300; 3], 4), Outlook::Long);
        assert_eq!(after(&[300; 2], 4), Outlook::Open, "two are too few");
        assert_eq!(after(&[300; 3], 3), Outlook::Open, "a breath is no pause");
    }

    #[test]
    fn a_timer_of_seventy_seconds_is_waited_for() {
        assert_eq!(after(&[70; 3], 30), Outlook::Open);
        assert_eq!(after(&[70; 3], 62), Outlook::Soon);
        assert_eq!(after(&[70; 3], 75), Outlook::Open, "it did not come");
    }

    #[test]
    fn a_pause_that_may_end_within_the_window_is_left_to_it() {
        assert_eq!(after(&[300, 300, 300, 30], 10), Outlook::Open);
        assert_eq!(after(&[300, 300, 300, 30], 40), Outlook::Long);
    }

    #[test]
    fn one_exception_of_many_does_not_count() {
        let mut pauses = vec![300; 31];
        pauses.push(30);
        assert_eq!(after(&pauses, 10), Outlook::Long);
        pauses.push(30);
        assert_eq!(after(&pauses, 10), Outlook::Open);
    }

    #[test]
    fn habits_change() {
        let mut pauses = vec![20; 2_000];
        pauses.extend([300; 300]);
        assert_eq!(after(&pauses, 10), Outlook::Open);
        pauses.extend([300; 1_700]);
        assert_eq!(after(&pauses, 10), Outlook::Long);
    }

    #[test]
    fn a_late_report_makes_no_pause() {
        let mut pauses = Pauses::NONE;
        for n in 0..10 {
            pauses.note_busy(Timestamp::from_secs(100 + n), WINDOW_MS);
            pauses.note_busy(Timestamp::from_secs(90 + n), WINDOW_MS);
        }
        assert_eq!(pauses.ended, [0; BEYOND + 1]);
        assert_eq!(pauses.last_busy, Some(Timestamp::from_secs(109)));
    }

    #[test]
    fn another_window_forgets() {
        let mut pauses = Pauses::NONE;
        for n in 0..10 {
            pauses.note_busy(Timestamp::from_secs(300 * n), WINDOW_MS);
        }
        let later = Timestamp::from_secs(300 * 9 + 10);
        assert_eq!(pauses.outlook(later, WINDOW_MS), Outlook::Long);
        pauses.forget();
        assert_eq!(pauses.outlook(later, WINDOW_MS), Outlook::Open);
    }
}
