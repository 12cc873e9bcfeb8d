//! One revision acts, and what is kept of all of them follows.

use std::cmp::Reverse;

use tidegate_autoscaler::Timestamp;

use super::{State, pace};
use crate::event::Effect;
use crate::identity::{InstanceName, RevisionId};
use crate::revision::{Context, Revision};

impl State {
    /// Runs `act` on one revision, keeps the sums over all revisions true, and schedules its next
    /// turn.
    pub(super) fn with(
        &mut self,
        now: Timestamp,
        id: &RevisionId,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Revision, &mut Context<'_>),
    ) {
        let start_room = self.turns.room_now(now);
        self.with_room(now, (id, start_room), effects, act);
    }

    /// The same with the revision of an instance that was started here.
    pub(super) fn with_started(
        &mut self,
        now: Timestamp,
        instance: &InstanceName,
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Revision, &mut Context<'_>),
    ) {
        if let Some(id) = self.started.get(instance).cloned() {
            self.with(now, &id, effects, act);
        }
    }

    /// Has those that wait for their turn start something, while there is room.
    pub(super) fn give_turns(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while let Some(id) = self.turns.take_next(now) {
            self.with_room(now, (&id, 1), effects, Revision::reconcile);
        }
    }

    /// The same with room to start so many instances.
    pub(super) fn with_room(
        &mut self,
        now: Timestamp,
        (id, start_room): (&RevisionId, usize),
        effects: &mut Vec<Effect>,
        act: impl FnOnce(&mut Revision, &mut Context<'_>),
    ) {
        let Some(revision) = self.revisions.get_mut(id) else { return };
        let effects_before = effects.len();
        let history_room = self.limits.history_seconds.saturating_sub(self.history_seconds);
        let mut context = Context {
            now,
            effects: &mut *effects,
            activators: &self.activators,
            stopping: self.stopping,
            history_room,
            start_room,
            lacks: None,
        };
        let held = |revision: &Revision| (revision.instances.len(), revision.history_seconds());
        let (instances, seconds) = held(revision);
        let written = revision.journal.written();
        act(revision, &mut context);
        let lacks = context.lacks;
        pace::note(&mut self.turns, now, revision, &effects[effects_before..]);
        if let Some(lacks) = lacks {
            self.turns.wait(id, lacks);
        }
        let (instances_now, seconds_now) = held(revision);
        self.instances = self.instances - instances + instances_now;
        self.history_seconds = self.history_seconds - seconds + seconds_now;
        for number in written..revision.journal.written() {
            self.decided.push_back((id.clone(), number + 1));
        }
        if let Some(at) = revision.next_due()
            && revision.scheduled.is_none_or(|scheduled| at < scheduled)
        {
            revision.scheduled = Some(at);
            self.agenda.push(Reverse((at, id.clone())));
        }
        while self.decided.len() > self.limits.decisions {
            let Some((id, number)) = self.decided.pop_front() else { return };
            if let Some(revision) = self.revisions.get_mut(&id) {
                revision.journal.forget_until(number);
            }
        }
    }
}
