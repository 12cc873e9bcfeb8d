//! Reconciles instances with the decided number: which to start, to stop, to give up.

use std::cmp::Reverse;
use std::sync::Arc;

use tidegate_autoscaler::{Lacks, Timestamp};

use super::{Context, Revision};
use crate::crash_loop_backoff::Restart;
use crate::declaration::Launch;
use crate::event::{Effect, StopMode};
use crate::identity::InstanceName;
use crate::instance::{Failure, Instance, Owner, Phase, Proof};
use crate::notice::{Notice, Termination};

/// An external instance that has been silent for this long has ended. Longer than any reconnection
/// takes, so that a broken stream does not remove an instance.
pub(crate) const FORGET_MS: u64 = 30_000;

impl Revision {
    /// When the next instance must have become ready.
    pub(super) fn start_deadline(&self) -> Option<Timestamp> {
        let since = self.instances.longest_starting()?;
        Some(since.plus_millis(self.declaration.start_deadline_ms))
    }

    /// When the next instance of others that lost its stream is to be forgotten.
    pub(super) fn forgetting_due(&self) -> Option<Timestamp> {
        self.instances.longest_silent().map(|since| since.plus_millis(FORGET_MS))
    }

    /// Starts or stops instances until there are as many as wanted.
    pub(crate) fn reconcile(&mut self, cx: &mut Context<'_>) {
        self.push_endpoints(cx);
        let may_start = self.crash.may_start(cx.now);
        let Some(launch) = self.declaration.launch.clone() else { return };
        if cx.stopping || self.gave_up || self.retired {
            return;
        }
        let excess = self.excess();
        if excess > 0 {
            let victims = self.victims(excess);
            let (rested, ended) = victims.into_iter().partition(|name| self.may_rest(name));
            self.send_to_rest(cx, rested);
            self.drain(cx, &ended);
        }
        self.wake_rested(cx);
        let may_start = may_start && !(launch.port.is_some() && self.has_any_started());
        let lacking = if may_start { self.lacking() } else { 0 };
        let lacking = usize::try_from(lacking).unwrap_or(usize::MAX);
        let now = lacking.min(cx.start_room);
        for _ in 0..now {
            self.start(cx, &launch);
        }
        cx.start_room -= now;
        cx.lacks = Some(if lacking > now { Lacks::Some } else { Lacks::Nothing });
        self.note_restarted(cx);
    }

    /// Whether any instance is there that was started here, and so has the port of its app.
    fn has_any_started(&self) -> bool {
        self.instances.all().any(|instance| instance.owner == Owner::Controller)
    }

    /// Instances that are there and not wanted. While old ones are replaced, one of them stays
    /// until a new one is ready.
    fn excess(&self) -> usize {
        let figures = self.instances.figures();
        let wanted = u32::try_from(self.replicas()).unwrap_or(0);
        let spared = u32::from(wanted > 0 && figures.outdated() > 0 && figures.coming() > 0);
        let excess = figures.started_kept().saturating_sub(wanted.saturating_add(spared));
        usize::try_from(excess).unwrap_or(usize::MAX)
    }

    /// Instances that are to be started: while old ones are replaced, one more than is wanted.
    pub(super) fn lacking(&self) -> u32 {
        let figures = self.instances.figures();
        let wanted = u32::try_from(self.replicas()).unwrap_or(0);
        let ahead = u32::from(wanted > 0 && figures.outdated() > 0);
        wanted.saturating_add(ahead).saturating_sub(figures.started_kept())
    }

    fn start(&mut self, cx: &mut Context<'_>, launch: &Arc<Launch>) {
        let instance = InstanceName::numbered(self.id(), self.next_number);
        self.next_number += 1;
        let mut starting = Instance::new(instance.clone(), Owner::Controller, cx.now);
        if !launch.readiness.is_seen_from_outside() {
            starting.proof = Proof::Missing;
        }
        starting.start.decided = Some(self.raised_at.unwrap_or(cx.now));
        starting.start.actuated = Some(cx.now);
        self.instances.add(starting);
        let notice = Notice::Starting { instance: instance.clone() };
        cx.effects.push(Effect::Announce(notice));
        let (revision, launch) = (self.id().clone(), Arc::clone(launch));
        cx.effects.push(Effect::Start { revision, instance, launch });
    }

    /// The instances to stop: those that are to be replaced, then those that never served, then the
    /// idlest, then the youngest.
    fn victims(&self, count: usize) -> Vec<InstanceName> {
        let mut kept: Vec<&Instance> = self
            .instances
            .all()
            .filter(|i| i.owner == Owner::Controller && i.is_kept() && i.failure.is_none())
            .collect();
        kept.sort_by_key(|instance| {
            let serving = instance.phase != Phase::Starting;
            let in_flight = self.demand.at_instance(&instance.name);
            (!instance.outdated, serving, in_flight, Reverse(instance.started))
        });
        kept.into_iter().take(count).map(|instance| instance.name.clone()).collect()
    }

    pub(super) fn drain(&mut self, cx: &mut Context<'_>, victims: &[InstanceName]) {
        if victims.is_empty() {
            return;
        }
        for name in victims {
            self.instances.change(name, |instance| instance.phase = Phase::Draining);
        }
        // First the activators, then the instances: what is sent in between is still served.
        self.push_endpoints_now(cx);
        for instance in victims {
            cx.effects.push(Effect::Announce(Notice::Draining { instance: instance.clone() }));
            cx.effects.push(Effect::Stop { instance: instance.clone(), mode: StopMode::Drain });
        }
    }

    /// Drains every instance that the controller started, and starts no more.
    pub(crate) fn retire(&mut self, cx: &mut Context<'_>) {
        self.retired = true;
        let kept = self.instances.all();
        let kept = kept.filter(|i| i.owner == Owner::Controller && i.phase != Phase::Draining);
        let kept: Vec<InstanceName> = kept.map(|instance| instance.name.clone()).collect();
        self.drain(cx, &kept);
    }

    /// Stops every instance that the controller started.
    pub(crate) fn stop_all(&mut self, cx: &mut Context<'_>, mode: StopMode) {
        let started = self.instances.all().filter(|instance| instance.owner == Owner::Controller);
        let started: Vec<InstanceName> = started.map(|instance| instance.name.clone()).collect();
        for name in &started {
            self.instances.change(name, |instance| instance.phase = Phase::Draining);
        }
        self.push_endpoints_now(cx);
        for instance in started {
            cx.effects.push(Effect::Stop { instance, mode });
        }
    }

    /// An instance that the controller started has its address.
    pub(crate) fn instance_launched(&mut self, name: &InstanceName, address: Arc<str>) {
        self.instances.change(name, |instance| instance.launched_at = Some(address));
    }

    /// The app's process of an instance has begun.
    pub(crate) fn instance_started(&mut self, cx: &Context<'_>, name: &InstanceName) {
        self.instances.change(name, |instance| {
            instance.start.started.get_or_insert(cx.now);
        });
    }

    /// One process of an instance ended: no request is sent to it any more.
    pub(crate) fn instance_failed(&mut self, cx: &mut Context<'_>, name: &InstanceName) {
        self.instances.change(name, |instance| {
            if instance.phase != Phase::Draining {
                instance.failure.get_or_insert(Failure::Died);
                instance.phase = Phase::Unready;
            }
        });
        self.push_endpoints_now(cx);
    }

    /// Nothing of an instance is left.
    pub(crate) fn instance_ended(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        mut ending: Termination,
    ) {
        let Some(instance) = self.instances.remove(name) else { return };
        self.demand.forget_instance(name);
        self.push_endpoints(cx);
        if instance.phase == Phase::Draining {
            let instance = name.clone();
            cx.effects.push(Effect::Announce(Notice::Stopped { instance }));
            self.reconcile(cx);
            return;
        }
        if let Some(Failure::NeverReady { deadline_ms }) = instance.failure {
            ending.what = format!("it did not become ready within {}", span(deadline_ms));
            if !instance.why_not_ready.is_empty() {
                ending.what = format!("{}: {}", ending.what, instance.why_not_ready);
            }
        }
        let ready_ms = instance.ready_since.map(|since| cx.now.millis_since(since));
        match self.crash.failed(cx.now, ready_ms) {
            Restart::RetryIn(retry_in_ms) => {
                let instance = name.clone();
                let notice = Notice::Crashed { instance, ending, retry_in_ms };
                cx.effects.push(Effect::Announce(notice));
            }
            Restart::GiveUp { attempts } => {
                self.gave_up = true;
                let revision = self.id().clone();
                let notice = Notice::GaveUp { revision, ending, attempts };
                cx.effects.push(Effect::Announce(notice));
            }
        }
        self.reconcile(cx);
    }

    /// The listening check of an instance that is not ready has a result.
    pub(crate) fn instance_not_ready(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        why: String,
    ) {
        let started = self.instances.change(name, |instance| {
            let news = instance.phase == Phase::Starting && instance.why_not_ready != why;
            instance.why_not_ready.clone_from(&why);
            news.then_some(instance.started)
        });
        let Some(started) = started.flatten() else { return };
        let after_ms = cx.now.millis_since(started);
        let notice = Notice::NotReady { instance: name.clone(), after_ms, why };
        cx.effects.push(Effect::Announce(notice));
    }

    /// Takes down instances that had long enough to become ready.
    pub(super) fn fail_late_starters(&mut self, cx: &mut Context<'_>) {
        let deadline_ms = self.declaration.start_deadline_ms;
        let failure = Failure::NeverReady { deadline_ms };
        while self.start_deadline().is_some_and(|at| at <= cx.now) {
            let Some(instance) = self.instances.fail_starting(cx.now, failure) else { return };
            cx.effects.push(Effect::Stop { instance, mode: StopMode::Kill });
        }
    }

    /// Forgets instances of others that have been silent for too long.
    pub(super) fn forget_silent(&mut self, cx: &mut Context<'_>) {
        while self.forgetting_due().is_some_and(|at| at <= cx.now) {
            let Some(name) = self.instances.forget_silent(cx.now) else { return };
            self.demand.forget_instance(&name);
        }
        self.push_endpoints(cx);
    }
}

/// A time for people: whole seconds as such.
fn span(ms: u64) -> String {
    if ms > 0 && ms.is_multiple_of(1_000) {
        return format!("{} s", ms / 1_000);
    }
    format!("{ms} ms")
}
