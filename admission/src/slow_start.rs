//! How quickly a new instance without a limit is given requests.
//!
//! It could take any number, as far as anybody knows, and the least loaded is always the newest. So
//! all that waits for a revision, and then all that comes, would be sent to a process that has just
//! begun. Instead it is allowed some, one more for each that it finishes, as TCP's slow start has
//! it, and twice as many each second besides, for apps whose requests last long. After some
//! seconds nothing holds back any more.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::Moment;

/// After so long a new instance is one like the others. A hundred requests at first are a hundred
/// thousand then.
pub const SLOW_START: Duration = Duration::from_secs(10);

/// How often the allowance is to be brought up to date: what has finished since counts from then.
pub const SLOW_START_STEP: Duration = Duration::from_millis(50);

/// The course of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    began: Moment,
    first: NonZeroU32,
    finished: u32,
}

impl SlowStart {
    /// An instance is ready `now`, and may have so many at first.
    pub const fn begin(now: Moment, first: NonZeroU32) -> Self {
        Self { began: now, first, finished: 0 }
    }

    /// It has finished a request.
    pub const fn finished(&mut self) {
        self.finished = self.finished.saturating_add(1);
    }

    /// How many it may have in flight; `None` once nothing holds back any more.
    pub fn allowance(&self, now: Moment) -> Option<NonZeroU32> {
        let elapsed = now.since(self.began);
        if elapsed >= SLOW_START {
            return None;
        }
        let doublings = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        let whole = u64::from(self.first.get()) << doublings.min(31);
        // Within a second the way to the next doubling is straight.
        let part = whole * u64::from(elapsed.subsec_millis()) / 1_000;
        let allowed = u32::try_from(whole + part).unwrap_or(u32::MAX);
        NonZeroU32::new(allowed.saturating_add(self.finished))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allowance_doubles_each_second_and_grows_by_what_is_finished() {
        let began = Moment::from_millis(5_000);
        let mut start = SlowStart::begin(began, NonZeroU32::new(100).unwrap());
        let at = |start: &SlowStart, ms| {
            start.allowance(began.after(Duration::from_millis(ms))).map(NonZeroU32::get)
        };
        assert_eq!([0, 500, 1_000, 3_000].map(|ms| at(&start, ms)), [100, 150, 200, 800].map(Some));
        (0..30).for_each(|_| start.finished());
        assert_eq!(at(&start, 1_000), Some(230));
        assert_eq!((at(&start, 9_999), at(&start, 10_000)), (Some(102_378), None));
    }

    #[test]
    fn it_never_overflows() {
        let mut start = SlowStart::begin(Moment::ZERO, NonZeroU32::MAX);
        start.finished();
        let late = Moment::from_millis(9_999);
        assert_eq!(start.allowance(late), Some(NonZeroU32::MAX));
    }
}
