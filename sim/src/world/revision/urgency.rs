//! When a revision is looked at again: what its decider asked for, and in local mode what its front
//! door tells out of turn.

use tidegate_admission::Moment;
use tidegate_autoscaler::driver::Urgency;

use super::{Beat, Revision};
use crate::events::{EventQueue, Kind, Tag};
use crate::time::NANOS_PER_SEC;
use crate::world::urgency::LATE_NS;

impl Revision {
    /// Whether it is told of, and decides, out of turn: local mode.
    #[inline]
    pub(crate) fn is_attended(&self) -> bool {
        self.attention.is_some()
    }

    /// Something happens after a rest. What was said meanwhile, every second that nobody was there,
    /// nobody listened to: it is no part of the second that begins. In local mode the first
    /// decision is soon.
    pub(crate) fn rouse(&mut self, now: u64) {
        let second = now / NANOS_PER_SEC * NANOS_PER_SEC;
        let _ = self.meter.cut(Moment::from_nanos(second));
        if self.attention.is_some() {
            self.scaler.rouse(now);
        }
    }

    /// Whether the line has just formed, whatever follows from it. Whoever comes while a line
    /// stands joins it, so one in line has formed it.
    #[inline]
    pub(crate) fn has_just_formed_line(&self) -> bool {
        self.front.waiting() == 1
    }

    /// A line has formed: whether the front door tells of it now.
    pub(crate) fn tells_of_new_line(&mut self, now: u64) -> bool {
        self.attention.as_mut().is_some_and(|attention| attention.line_formed(now))
    }

    /// Whether the front door tells now how many wait.
    pub(crate) fn tells(&mut self, now: u64) -> bool {
        let waiting = self.front.waiting();
        self.attention.as_mut().is_some_and(|attention| attention.looks(now, waiting))
    }

    /// The front door has told, out of turn.
    pub(crate) fn told_early(&mut self, now: u64) {
        let waiting = self.front.waiting();
        if let Some(attention) = &mut self.attention {
            attention.reported_early(now, waiting);
        }
    }

    /// The second's report has told as well.
    pub(crate) fn told_in_turn(&mut self, now: u64) {
        let waiting = self.front.waiting();
        if let Some(attention) = &mut self.attention {
            attention.reported_in_turn(now, waiting);
        }
    }

    /// When the controller decides because requests wait; `None` when none do, or nobody tells it.
    pub(crate) fn urge(&mut self, now: u64) -> Option<Urgency> {
        let waiting = self.front.waiting();
        (waiting > 0 && self.attention.is_some()).then(|| self.scaler.urge(now, waiting))
    }

    /// Whether a decision in turn is to be made now, in local mode; none is before `down_until`.
    pub(crate) fn takes_turn(&mut self, now: u64, down_until: u64) -> bool {
        if now < self.scaler.next_due().saturating_add(LATE_NS) {
            return false;
        }
        if now < down_until {
            self.scaler.postpone(down_until);
            return false;
        }
        self.beat == Beat::On
    }

    /// Makes sure that the next timer of local mode comes.
    pub(crate) fn arm(&mut self, now: u64, events: &mut EventQueue) {
        let Some(attention) = &self.attention else { return };
        if self.beat == Beat::On {
            let next_tick = self.scaler.next_due().saturating_add(LATE_NS);
            self.look_again_at(attention.next_look().min(next_tick), now, events);
        }
    }

    /// Makes sure that it is looked at again by `at`, or now if that has passed.
    pub(crate) fn look_again_at(&mut self, at: u64, now: u64, events: &mut EventQueue) {
        self.wake.set(at, now, events, (Kind::Revision, self.index));
    }

    /// Whether `tag` says that it is to be looked at.
    pub(crate) fn wake_rings(&mut self, tag: Tag) -> bool {
        self.wake.rings(tag)
    }
}
