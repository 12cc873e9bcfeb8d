//! Has instances start in their turns.

use super::instance::{Instance, StartPhase, State};
use super::turns::Ordered;
use super::{ScheduledEvent, World};
use crate::record::Observer;

impl<O: Observer> World<'_, O> {
    /// An instance is to be started: at once, or when it has its turn.
    pub(super) fn order_start(&mut self, slot: u32) {
        let Some(in_turn) = &mut self.starts.in_turn else { return self.let_start(slot) };
        let place = &mut self.instances[slot as usize];
        place.start = StartPhase::InLine;
        let ordered = place.in_slot(slot);
        self.revisions[ordered.revision as usize].in_line += 1;
        in_turn.wait(ordered);
        self.give_turns();
    }

    /// Instances of a revision are ready or gone: others may have their turns.
    pub(super) fn turns_over(&mut self, revision: u32) {
        let Some(in_turn) = &mut self.starts.in_turn else { return };
        let instances = &self.instances;
        in_turn.end(revision, |ordered| is_coming(instances, ordered));
        self.give_turns();
    }

    /// A turn may have ended by itself.
    pub(super) fn turn_ends(&mut self) {
        if self.starts.in_turn.as_mut().is_some_and(|in_turn| in_turn.is_turns_end(self.now)) {
            self.give_turns();
        }
    }

    /// It is looked whether the machine has time left.
    pub(super) fn look_for_slack(&mut self) {
        if self.starts.in_turn.as_mut().is_some_and(|in_turn| in_turn.looks(self.now)) {
            self.give_turns();
        }
    }

    /// Starts what has its turn, and sees to it that the next turn is not missed.
    fn give_turns(&mut self) {
        let now = self.now;
        while let Some(ordered) = {
            let instances = &self.instances;
            let in_turn = self.starts.in_turn.as_mut();
            in_turn.and_then(|turns| turns.take_next(now, |next| is_coming(instances, next)))
        } {
            self.instances[ordered.slot as usize].start = StartPhase::Alone;
            self.revisions[ordered.revision as usize].in_line -= 1;
            self.let_start(ordered.slot);
        }
        let Some(in_turn) = &mut self.starts.in_turn else { return };
        let (ends, look) = (in_turn.next_end(now), in_turn.next_look(now));
        if let Some(at) = ends {
            self.schedule(at, ScheduledEvent::TurnEnds);
        }
        if let Some(at) = look {
            self.schedule(at, ScheduledEvent::Slack);
        }
    }
}

/// Whether an instance is still to be ready: its slot may be another's.
fn is_coming(instances: &slab::Slab<Instance>, wanted: Ordered) -> bool {
    instances.get(wanted.slot as usize).is_some_and(|place| {
        place.is(wanted) && matches!(place.state, State::Pending | State::Starting)
    })
}
