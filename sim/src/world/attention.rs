//! Local mode's decisions out of turn.
//!
//! In local mode the front door tells the controller at once that a line has formed or has doubled,
//! and the controller decides at once, by what is there at that moment. Ticks are counted from the
//! last decision, whatever caused it. What was told early is left out of the second's report.

use tidegate_autoscaler::{Origin, Sample};

use super::beat::Trigger;
use super::revision::Beat;
use super::{NEVER, World};
use crate::events::Kind;
use crate::record::Observer;
use crate::scaler::Report;

/// A front door reports out of turn no more often than this (`tidegate_activator::LEAST_GAP`).
const TELL_GAP_NS: u64 = 100_000_000;
/// A controller decides out of turn no more often than this, unless at zero.
const URGENT_GAP_NS: u64 = 100_000_000;
/// Real timers come at least this late: they round up to the next millisecond. It matters, because
/// panic ends only when its window has passed by more than nothing.
const LATE_NS: u64 = 1_000_000;

/// What the controller of one revision was told out of turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    /// A line has formed that was not told of yet.
    formed: bool,
    /// How many waited when they were last told of.
    told: u32,
    /// The front door is quiet until then.
    quiet_until: u64,
    /// When the front door looks again how long its line is.
    next_look: u64,
    /// Load of this second that was told early.
    counted: f64,
    decided_at: u64,
    next_tick: u64,
}

impl Attention {
    pub(crate) const fn new(now: u64) -> Self {
        Attention {
            formed: false,
            told: 0,
            quiet_until: 0,
            next_look: NEVER,
            counted: 0.0,
            decided_at: now,
            next_tick: NEVER,
        }
    }

    /// What is left of a second's average load beside what was told early.
    pub(crate) fn take_rest(&mut self, average: f64) -> f64 {
        (average - std::mem::take(&mut self.counted)).max(0.0)
    }
}

impl<O: Observer> World<'_, O> {
    /// A revision becomes active: its first tick is soon.
    pub(super) fn rouse(&mut self, index: u32) {
        let now = self.now;
        if let Some(attention) = &mut self.revisions[index as usize].attention {
            attention.next_tick = now + URGENT_GAP_NS;
            self.arm(index);
        }
    }

    /// After an arrival: the front door tells of a line that formed, at once or as soon as it may.
    pub(super) fn attend_arrival(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        // Whoever comes while a line stands joins it, so one in line has just formed it.
        let formed = revision.front.waiting() == 1;
        let Some(attention) = &mut revision.attention else { return };
        if !formed || attention.formed {
            return;
        }
        attention.formed = true;
        if now >= attention.quiet_until {
            return self.tell(index);
        }
        attention.next_look = attention.next_look.min(attention.quiet_until + LATE_NS);
        self.arm(index);
    }

    /// After a second's report, which also says how many wait.
    pub(super) fn attend_beat(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        if let Some(attention) = &mut revision.attention {
            attention.told = waiting;
            let soon = attention.quiet_until.max(now) + LATE_NS;
            attention.next_look = if waiting > 0 { soon } else { NEVER };
        }
        self.arm(index);
        self.urgent(index);
    }

    /// A tick, a look at the line, or another time at which to look.
    pub(super) fn attend_wake(&mut self, index: u32) {
        let now = self.now;
        let revision = &self.revisions[index as usize];
        let Some(attention) = revision.attention.as_deref().copied() else { return };
        if now >= attention.next_look {
            self.look_at_line(index);
        }
        if now < attention.next_tick {
            self.look_again(index);
        } else if now < self.controller_down_until {
            self.tick_at(index, self.controller_down_until);
        } else if self.revisions[index as usize].beat == Beat::On {
            self.decide(index, Trigger::Tick);
        }
        self.arm(index);
    }

    fn tick_at(&mut self, index: u32, at: u64) {
        if let Some(attention) = &mut self.revisions[index as usize].attention {
            attention.next_tick = at;
        }
    }

    /// The front door looks how long its line is, and tells if that is news.
    fn look_at_line(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        let Some(attention) = &mut revision.attention else { return };
        let doubled = attention.told > 0 && waiting >= attention.told.saturating_mul(2);
        if attention.formed || doubled {
            return self.tell(index);
        }
        attention.next_look = if waiting > 0 { now + TELL_GAP_NS + LATE_NS } else { NEVER };
    }

    /// The front door says how many wait.
    fn tell(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        if let Some(attention) = &mut revision.attention {
            attention.formed = false;
            attention.told = waiting;
            attention.quiet_until = now + TELL_GAP_NS;
            let next = attention.quiet_until + LATE_NS;
            attention.next_look = if waiting > 0 { next } else { NEVER };
        }
        self.arm(index);
        self.urgent(index);
    }

    /// A decision was made: the next tick counts from it.
    pub(super) fn decided_now(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let every = revision.scaler.tick_every_ms() * 1_000_000;
        if let Some(attention) = &mut revision.attention {
            attention.decided_at = now;
            attention.next_tick = now + every + LATE_NS;
            self.arm(index);
        }
    }

    /// Requests wait: the controller decides now, or as soon as it may.
    fn urgent(&mut self, index: u32) {
        let now = self.now;
        if now < self.controller_down_until {
            return;
        }
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        let Some(attention) = &mut revision.attention else { return };
        let at = attention.decided_at + URGENT_GAP_NS;
        if waiting == 0 {
            return;
        }
        if now >= at || revision.scaler.should_wake(waiting) {
            self.decide(index, Trigger::WakeUp);
        } else {
            attention.next_tick = attention.next_tick.min(at + LATE_NS);
            self.arm(index);
        }
    }

    /// Before a decision: what waits at this moment is load, whatever the averages of the past say.
    pub(super) fn record_held(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        let waiting = revision.front.waiting();
        let Some(attention) = &mut revision.attention else { return };
        let inside = revision.tally.now.inside as f64;
        let more = inside - attention.counted;
        if waiting > 0
            && more > 0.0
            && let Ok(sample) = Sample::of_concurrency(more)
        {
            attention.counted = inside;
            revision.scaler.record(now, &Report { origin: Origin::Activator, sample });
        }
    }

    /// Makes sure that the next tick and the next look come.
    fn arm(&mut self, index: u32) {
        let revision = &mut self.revisions[index as usize];
        let Some(attention) = revision.attention.as_deref().copied() else { return };
        let next = attention.next_tick.min(attention.next_look);
        if revision.beat == Beat::On && next < revision.wake_at {
            revision.wake_at = next.max(self.now);
            revision.wake = self.events.push(revision.wake_at, Kind::Revision, index);
        }
    }
}
