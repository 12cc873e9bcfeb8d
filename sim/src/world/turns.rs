//! Starts in turns, as `tidegate run` has them on one machine: a few at a time, the next one when
//! one is ready, has failed or takes too long, or when the machine has time left.

use std::collections::{BTreeMap, VecDeque};

use tidegate_autoscaler::{Lacks, StartTurns, Timestamp};

use crate::events::NEVER;
use crate::scaler::timestamp;
use crate::scenario::StartsInTurns;

/// How often a machine is asked for time that it has left, in nanoseconds: as local mode does.
const LOOK_PERIOD_NS: u64 = 100_000_000;

const NS_PER_MS: u64 = 1_000_000;

/// An instance that was ordered; by then its slot may be another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub(super) slot: u32,
    pub(super) revision: u32,
    pub(super) number: u32,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct InTurn {
    turns: StartTurns<u32, Ordered>,
    /// What waits for its turn, by revision.
    waiting: BTreeMap<u32, VecDeque<Ordered>>,
    /// Turns that the machine lets end early at each look, and the part of one that is left over.
    slack_per_look: f64,
    slack: f64,
    /// When the next of these events is due; one at another time is stale.
    look_at: u64,
    turn_ends_at: u64,
}

impl InTurn {
    pub(super) fn new(model: &StartsInTurns) -> Self {
        Self {
            turns: StartTurns::new(model.pace),
            waiting: BTreeMap::new(),
            slack_per_look: model.slack_per_second * LOOK_PERIOD_NS as f64 / 1e9,
            slack: 0.0,
            look_at: NEVER,
            turn_ends_at: NEVER,
        }
    }

    pub(super) fn wait(&mut self, ordered: Ordered) {
        self.waiting.entry(ordered.revision).or_default().push_back(ordered);
        self.turns.wait(&ordered.revision, Lacks::Some);
    }

    /// Instances of a revision have stopped starting, but for those that are `still` coming.
    pub(super) fn end(&mut self, revision: u32, still: impl Fn(Ordered) -> bool) {
        self.turns.end(&revision, |ordered| still(*ordered));
    }

    /// Whether the event of this moment says that a turn ends.
    pub(super) fn is_turns_end(&mut self, now: u64) -> bool {
        let is_due = self.turn_ends_at == now;
        if is_due {
            self.turn_ends_at = NEVER;
        }
        is_due
    }

    /// Lets turns end early that the machine has time for, if the event of this moment is the look
    /// that is due.
    pub(super) fn looks(&mut self, now: u64) -> bool {
        let is_due = self.look_at == now;
        if is_due {
            self.look_at = NEVER;
            self.slack += self.slack_per_look;
            let whole = self.slack.floor();
            self.slack -= whole;
            self.turns.release(whole as usize);
        }
        is_due
    }

    /// When the end of a turn is to be looked for; `None` where nobody waits, or it is known.
    pub(super) fn next_end(&mut self, now: u64) -> Option<u64> {
        let due = self.turns.next_due()?;
        let at = due.millis_since(Timestamp::EPOCH).saturating_mul(NS_PER_MS).max(now);
        (std::mem::replace(&mut self.turn_ends_at, at) != at).then_some(at)
    }

    /// When it is to be looked for time that the machine has left; `None` where nobody waits, or it
    /// is known.
    pub(super) fn next_look(&mut self, now: u64) -> Option<u64> {
        if !self.turns.is_waited_for() {
            // What is left while nobody waits is not saved up.
            self.slack = 0.0;
            return None;
        }
        if self.look_at != NEVER || self.slack_per_look == 0.0 {
            return None;
        }
        self.look_at = now.saturating_add(LOOK_PERIOD_NS);
        Some(self.look_at)
    }

    /// The next that starts, of those that are `still` to be started.
    pub(super) fn take_next(
        &mut self,
        now: u64,
        still: impl Fn(Ordered) -> bool,
    ) -> Option<Ordered> {
        loop {
            let revision = self.turns.take_next(timestamp(now))?;
            let waiting = self.waiting.get_mut(&revision)?;
            let next = std::iter::from_fn(|| waiting.pop_front()).find(|ordered| still(*ordered));
            if waiting.is_empty() {
                self.waiting.remove(&revision);
            } else {
                self.turns.wait(&revision, Lacks::Some);
            }
            if let Some(ordered) = next {
                self.turns.begin(timestamp(now), revision, ordered);
                return Some(ordered);
            }
        }
    }
}
