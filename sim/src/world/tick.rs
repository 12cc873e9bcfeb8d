//! The tick of active revisions: reports every second, decisions every second tick, and wake-ups in
//! between.

use tidegate_admission::Moment;

use super::World;
use crate::record::Observer;
use crate::scaler::{ScaleDecision, Trigger};
use crate::series::recorder::Level;
use crate::time::NANOS_PER_SEC;

impl<O: Observer> World<'_, O> {
    /// Makes an idle revision tick again.
    #[inline]
    pub(super) fn activate(&mut self, index: u32) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        if revision.is_asleep() {
            return self.rouse(index);
        }
        let activation = self.activations;
        if !revision.start_ticking(now, activation) {
            return;
        }
        self.activations += 1;
        self.next_tick = match self.active.is_empty() && self.sleepers.are_none() {
            true => (now / NANOS_PER_SEC + 1) * NANOS_PER_SEC,
            false => self.next_tick.min(self.tick_after_now()),
        };
        self.active.push((activation, index));
        let revision = &mut self.revisions[index as usize];
        revision.wake(now);
        revision.arm(now, &mut self.events);
    }

    /// A whole second: all active revisions report, and those whose tick it is decide.
    pub(super) fn tick(&mut self) {
        let now = self.now;
        self.rouse_due();
        let mut active = std::mem::take(&mut self.active);
        for &(_, index) in &active {
            let woken = self.report(index);
            let revision = &self.revisions[index as usize];
            if revision.is_attended() {
                self.attend_tick(index);
            } else if revision.ticks_at(now) {
                self.decide(index, Trigger::Tick);
            } else if woken {
                self.decide(index, Trigger::WakeUp);
            }
        }
        active.retain(|&(_, index)| {
            let stays = self.revisions[index as usize].stays_active(now);
            stays && !(self.may_sleep && self.lull(index))
        });
        // No revision becomes active during a tick, because no request arrives in one.
        active.append(&mut self.active);
        self.active = active;
        self.ticked = now;
        self.next_tick = match self.active.is_empty() {
            true => self.sleepers.next_at(),
            false => now + NANOS_PER_SEC,
        };
    }

    /// Sends a revision's load of the last second to its autoscaler. Returns whether that should
    /// cause a decision out of turn.
    fn report(&mut self, index: u32) -> bool {
        let now = Moment::from_nanos(self.now);
        let instances = &mut self.instances;
        self.revisions[index as usize].report(self.now, |slot| {
            instances[slot as usize].meter.as_mut().map(|meter| meter.cut(now))
        })
    }

    /// After an arrival: wakes the policy if it asks for arrivals at once.
    #[inline]
    pub(super) fn after_arrival(&mut self, index: u32, request: u32) {
        let revision = &mut self.revisions[index as usize];
        if revision.is_exact() {
            let before = revision.staying();
            self.decide(index, Trigger::Tick);
            if self.revisions[index as usize].staying() > before {
                self.starts_instance(index, request);
            }
            return;
        }
        if revision.is_attended() {
            return self.attend_arrival(index);
        }
        if revision.is_woken_by_arrival() && self.now >= self.controller_down_until {
            self.decide(index, Trigger::WakeUp);
        }
    }

    /// The time at which the policy or its lifecycle asked to be woken.
    pub(super) fn woken(&mut self, index: u32) {
        if self.revisions[index as usize].is_asleep() {
            self.rouse(index);
        }
        let revision = &self.revisions[index as usize];
        if revision.is_exact() {
            self.decide(index, Trigger::WakeUp);
        } else if revision.is_attended() {
            self.attend_wake(index);
        } else if revision.has_lifecycle() {
            self.look_again(index);
        } else {
            self.decide(index, Trigger::WakeUp);
        }
    }

    /// Applies bounds and lifecycle to the last decision again, because instances changed.
    pub(super) fn look_again(&mut self, index: u32) {
        if self.now < self.controller_down_until {
            return;
        }
        if let Some(verdict) = self.revisions[index as usize].reconcile(self.now) {
            self.follow(index, Trigger::WakeUp, verdict);
        }
    }

    /// Lets the policy decide, and carries the decision out.
    pub(super) fn decide(&mut self, index: u32, trigger: Trigger) {
        let now = self.now;
        if now < self.controller_down_until {
            return;
        }
        let revision = &mut self.revisions[index as usize];
        let verdict = revision.decide(now);
        if now >= self.counted_from {
            revision.counters.decisions += 1;
        }
        self.follow(index, trigger, verdict);
        self.arm(index);
    }

    fn follow(&mut self, index: u32, trigger: Trigger, verdict: ScaleDecision) {
        let now = self.now;
        let revision = &mut self.revisions[index as usize];
        if let Some(at) = verdict.again_at {
            // A wake-up missed while the controller was down happens now.
            revision.look_again_at(at, now, &mut self.events);
        }
        let change = i64::from(verdict.panicking) - revision.counters.now.panicking as i64;
        if change != 0 {
            self.change(index, Level::Panicking, change);
        }
        let revision = &mut self.revisions[index as usize];
        let changed = revision.note_decision(&verdict);
        if self.total.is_drawn() || revision.is_drawn() {
            let windows = revision.draw_windows(now);
            self.total.draw_windows(now, windows);
        }
        if changed {
            self.keep_decision(index, trigger, verdict);
            let before = self.revisions[index as usize].reroute(&verdict);
            self.total.reroute(u64::from(before), &verdict);
            self.show(index, Level::Proxied);
            self.scale_to(index, verdict.wanted);
        }
    }

    fn keep_decision(&mut self, index: u32, trigger: Trigger, verdict: ScaleDecision) {
        if !self.observer.wants_decisions() && self.scenario.recording.decisions == 0 {
            return;
        }
        let record = self.revisions[index as usize].decision(self.now, trigger, &verdict);
        self.observer.decision(&record);
        self.decisions.push(index, record);
    }
}
