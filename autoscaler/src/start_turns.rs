//! Starts are paced: no more at once than a machine can start quickly.
//!
//! Fifty processes that start at the same time on two processors are all ready late, the first of
//! them almost as late as the last. In turns the first is ready as early as it would be alone, and
//! the last about as late. A turn ends when its instance is ready or has failed; when the machine
//! is seen to have time left, because an app that mostly waits while it starts is to hold up
//! nobody; and after a while in any case.
//!
//! Whoever starts instances asks [`StartTurns::room_now`] how many it may start, notes each with
//! [`StartTurns::begin`] and each end with [`StartTurns::end`], says with [`StartTurns::wait`] what
//! it could not start, and asks [`StartTurns::take_next`] whose turn it is whenever something has
//! changed or [`StartTurns::next_due`] has come. A controller and the simulator do so.

use std::collections::VecDeque;

use crate::Timestamp;

/// How long an instance that is not ready keeps others from starting, in milliseconds, where it is
/// known how busy the machine is.
pub const TURN_MS: u64 = 2_000;

/// How many instances start at a time, and for how long each has a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartPace {
    /// At a time, over all revisions; at least one.
    pub at_once: usize,
    /// How long an instance that is not ready keeps its turn, in milliseconds.
    pub turn_ms: u64,
}

impl StartPace {
    /// All at once.
    pub const UNPACED: Self = Self { at_once: usize::MAX, turn_ms: 0 };
}

/// Whether a revision wants to start more than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacks {
    /// It does not.
    Nothing,
    /// It does.
    Some,
}

/// An instance that starts.
#[derive(Debug)]
struct Turn<R, I> {
    began: Timestamp,
    revision: R,
    instance: I,
}

/// Whose turn it is to start an instance, of all revisions `R` with their instances `I`.
#[derive(Debug)]
pub struct StartTurns<R, I> {
    pace: StartPace,
    /// Those that start, the oldest first.
    turns: VecDeque<Turn<R, I>>,
    /// Revisions that want to start something, the longest waiting first.
    waiting: VecDeque<R>,
}

impl<R: PartialEq + Clone, I> StartTurns<R, I> {
    /// Nothing starts yet.
    #[must_use]
    pub fn new(pace: StartPace) -> Self {
        let at_once = pace.at_once.max(1);
        let pace = StartPace { at_once, ..pace };
        Self { pace, turns: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// Whether everything may start at once.
    #[must_use]
    pub fn is_unpaced(&self) -> bool {
        self.pace.at_once == usize::MAX
    }

    /// Whether a revision waits for its turn.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many instances may be started now by whoever wants to: none while others wait.
    pub fn room_now(&mut self, now: Timestamp) -> usize {
        match (self.is_unpaced(), self.waiting.is_empty()) {
            (true, _) => usize::MAX,
            (false, true) => self.room(now),
            (false, false) => 0,
        }
    }

    fn room(&mut self, now: Timestamp) -> usize {
        let turn_ms = self.pace.turn_ms;
        while self.turns.front().is_some_and(|turn| turn.began.plus_millis(turn_ms) <= now) {
            self.turns.pop_front();
        }
        self.pace.at_once.saturating_sub(self.turns.len())
    }

    /// An instance begins its turn.
    pub fn begin(&mut self, now: Timestamp, revision: R, instance: I) {
        if !self.is_unpaced() {
            self.turns.push_back(Turn { began: now, revision, instance });
        }
    }

    /// Ends the turns of a revision's instances that do not start any more.
    pub fn end(&mut self, revision: &R, is_starting: impl Fn(&I) -> bool) {
        self.turns.retain(|turn| turn.revision != *revision || is_starting(&turn.instance));
    }

    /// Ends so many turns, the longest first, if others wait for theirs: the machine has time left.
    pub fn release(&mut self, turns: usize) {
        if !self.waiting.is_empty() {
            self.turns.drain(..turns.min(self.turns.len()));
        }
    }

    /// Notes that a revision wants to start more, behind the others; or that it does not.
    pub fn wait(&mut self, revision: &R, lacks: Lacks) {
        let place = self.waiting.iter().position(|known| known == revision);
        match (place, lacks) {
            (None, Lacks::Some) => self.waiting.push_back(revision.clone()),
            (Some(place), Lacks::Nothing) => {
                self.waiting.remove(place);
            }
            (Some(_), Lacks::Some) | (None, Lacks::Nothing) => {}
        }
    }

    /// The revision whose turn it is, if there is room; it goes behind the others if it wants more.
    pub fn take_next(&mut self, now: Timestamp) -> Option<R> {
        if self.waiting.is_empty() || self.room(now) == 0 {
            return None;
        }
        self.waiting.pop_front()
    }

    /// When a turn ends by itself that somebody waits for.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let first = self.turns.front().filter(|_| !self.waiting.is_empty())?;
        Some(first.began.plus_millis(self.pace.turn_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: StartPace = StartPace { at_once: 2, turn_ms: 2_000 };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// Starts whatever has its turn at `ms`, each revision wanting more for ever.
    fn starts(turns: &mut StartTurns<char, u32>, ms: i64, next: &mut u32) -> Vec<char> {
        let mut started = Vec::new();
        while let Some(revision) = turns.take_next(at(ms)) {
            *next += 1;
            turns.begin(at(ms), revision, *next);
            turns.wait(&revision, Lacks::Some);
            started.push(revision);
        }
        started
    }

    #[test]
    fn a_turn_ends_with_its_start_with_time_that_is_left_and_by_itself() {
        let (mut turns, mut next) = (StartTurns::new(PACE), 0);
        turns.wait(&'a', Lacks::Some);
        turns.wait(&'b', Lacks::Some);
        assert_eq!(starts(&mut turns, 0, &mut next), ['a', 'b']);
        assert_eq!(starts(&mut turns, 1_999, &mut next), []);
        turns.end(&'a', |instance| *instance != 1);
        assert_eq!(starts(&mut turns, 1_999, &mut next), ['a'], "it is ready");
        turns.release(1);
        assert_eq!(starts(&mut turns, 1_999, &mut next), ['b'], "the machine has time left");
        assert_eq!(turns.next_due(), Some(at(3_999)));
        assert_eq!(starts(&mut turns, 3_999, &mut next), ['a', 'b'], "it took too long");
    }

    #[test]
    fn nobody_overtakes_those_that_wait() {
        let mut turns = StartTurns::new(PACE);
        assert_eq!(turns.room_now(at(0)), 2);
        turns.begin(at(0), 'a', 1);
        turns.begin(at(0), 'a', 2);
        turns.wait(&'a', Lacks::Some);
        turns.end(&'a', |_| false);
        assert_eq!(turns.room_now(at(0)), 0, "there is room, for who waits");
        turns.wait(&'a', Lacks::Nothing);
        assert_eq!(turns.room_now(at(0)), 2);
    }

    #[test]
    fn time_that_is_left_is_not_saved_up() {
        let mut turns = StartTurns::new(PACE);
        turns.begin(at(0), 'a', 1);
        turns.release(5);
        assert_eq!(turns.room_now(at(0)), 1, "nobody waited");
    }

    #[test]
    fn without_a_pace_nobody_waits() {
        let mut turns = StartTurns::new(StartPace::UNPACED);
        for instance in 0..1_000 {
            turns.begin(at(0), 'a', instance);
        }
        assert_eq!((turns.room_now(at(0)), turns.next_due()), (usize::MAX, None));
    }
}
