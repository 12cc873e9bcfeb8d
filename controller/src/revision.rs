//! One revision: its reports, its decisions, and the instances that follow from them.

pub(crate) mod converge;
pub(crate) mod hear;

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::lifecycle::{
    ActivatorProbe, Lifecycle, Observation, Plumbing, StepRule, UNDECIDED,
};
use tidegate_autoscaler::sample::Origin;
use tidegate_autoscaler::{Decision, Observed, Policy, Signal, TickInput, Timestamp};

use crate::crash::CrashBackoff;
use crate::declaration::{Declaration, PolicyChoice};
use crate::demand::Demand;
use crate::event::{Effect, Endpoint, Word};
use crate::history::History;
use crate::identity::{ReporterId, RevisionId};
use crate::instance::Phase;
use crate::journal::{DecisionRecord, Journal};
use crate::roster::Roster;
use crate::status::{InstanceStatus, RevisionStatus};

/// How long a controller that started nothing itself waits for reporters to tell it the past
/// before it decides. Longer than their longest wait between two attempts to connect.
pub(crate) const WARM_UP_MS: u64 = 2_500;

/// Decisions out of turn, while requests wait, are at least this far apart.
pub(crate) const URGENT_GAP_MS: u64 = 100;

/// Activators are told of changes at least this far apart, but for what must go before something
/// else: the list is told whole, so that telling it for each of many changes would cost the square.
pub(crate) const PUSH_GAP_MS: u64 = 100;

/// Seconds are closed in their middle, so that jitter does not put two into one window bucket.
const SECOND_PHASE_MS: u64 = 500;

/// What a revision may see and do while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// Streams of the activators, who are told of endpoints.
    pub(crate) activators: &'a BTreeSet<ReporterId>,
    /// Nothing more is started.
    pub(crate) stopping: bool,
    /// Seconds of the past that may still be held.
    pub(crate) history_room: usize,
}

/// The state of one revision.
pub(crate) struct Revision {
    pub(crate) declaration: Declaration,
    /// `None` while it waits for the past.
    policy: Option<Box<dyn Policy + Send>>,
    lifecycle: Lifecycle,
    demand: Demand,
    history: History,
    pub(crate) roster: Roster,
    next_number: u64,
    crash: CrashBackoff,
    gave_up: bool,
    pub(crate) journal: Journal,
    /// What activators were told last, when, and when they are to be told what changed since.
    pushed: Arc<[Endpoint]>,
    last_push: Timestamp,
    push_due: Option<Timestamp>,
    /// The last valid decision.
    decided: i32,
    burst_capacity: i32,
    warm_at: Timestamp,
    next_second: Timestamp,
    next_tick: Timestamp,
    last_tick: Timestamp,
    recheck: Option<Timestamp>,
    /// The entry of the agenda that counts.
    pub(crate) scheduled: Option<Timestamp>,
}

impl Revision {
    pub(crate) fn new(declaration: Declaration, now: Timestamp) -> Self {
        let bounds = declaration.lifecycle.bounds;
        let launched = declaration.launch.is_some();
        let initial = declaration.lifecycle.initial_scale.max(bounds.min);
        // What we start ourselves cannot have a past.
        let warm_at = if launched { now } else { now.plus_millis(WARM_UP_MS) };
        Self {
            policy: None,
            lifecycle: Lifecycle::new(if launched { bounds.apply(initial).max(0) } else { 0 }),
            declaration,
            demand: Demand::default(),
            history: History::default(),
            roster: Roster::default(),
            next_number: 1,
            crash: CrashBackoff::default(),
            gave_up: false,
            journal: Journal::default(),
            pushed: Arc::from([]),
            last_push: Timestamp::EPOCH,
            push_due: None,
            decided: UNDECIDED,
            burst_capacity: 0,
            warm_at,
            next_second: next_second(now),
            next_tick: warm_at,
            last_tick: Timestamp::EPOCH,
            recheck: None,
            scheduled: None,
        }
    }

    pub(crate) fn id(&self) -> &RevisionId {
        &self.declaration.id
    }

    /// Decides by other numbers from now on. Windows, instances and the journal stay.
    pub(crate) fn redeclare(&mut self, cx: &mut Context<'_>, declaration: Declaration) {
        let same_policy = self.declaration.policy == declaration.policy;
        self.declaration = declaration;
        self.gave_up = false;
        if !same_policy {
            let ready = self.count(Phase::Ready);
            self.policy = Some(self.declaration.policy.build(cx.now, ready, &[]));
        }
        self.tick(cx);
    }

    /// When something is due, if nothing happens before. `None` when there is nothing to decide:
    /// no instance, no wish for one, and nobody waiting.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.policy.is_none() {
            return Some(self.warm_at);
        }
        let idle = self.roster.is_empty()
            && self.lifecycle.replicas() <= 0
            && self.decided <= 0
            && self.demand.in_flight() == 0;
        if idle {
            return self.push_due;
        }
        let (start, forgetting) = (self.start_deadline(), self.forgetting_due());
        [start, forgetting, self.recheck, self.crash.retry_at(), self.push_due]
            .into_iter()
            .flatten()
            .chain([self.next_second, self.next_tick])
            .min()
    }

    /// Does what is due.
    pub(crate) fn due(&mut self, cx: &mut Context<'_>) {
        if self.policy.is_none() {
            if cx.now < self.warm_at {
                return;
            }
            self.warm_up(cx);
        }
        self.forget_silent(cx);
        self.fail_late_starters(cx);
        if self.push_due.is_some_and(|at| cx.now >= at) {
            self.push_endpoints_now(cx);
        }
        if cx.now >= self.next_second {
            self.close_second(cx.now);
        }
        let rechecking = self.recheck.is_some_and(|at| cx.now >= at);
        if cx.now >= self.next_tick || rechecking {
            self.tick(cx);
        } else {
            self.converge(cx);
        }
    }

    /// Seconds of the past that are held until the first decision.
    pub(crate) fn history_seconds(&self) -> usize {
        self.history.len()
    }

    /// The past is as complete as it gets: start to decide.
    fn warm_up(&mut self, cx: &mut Context<'_>) {
        let ready = self.count(Phase::Ready);
        let history = std::mem::take(&mut self.history).entries(cx.now);
        self.policy = Some(self.declaration.policy.build(cx.now, ready, &history));
        if self.declaration.launch.is_none() {
            self.lifecycle.set_replicas(i32::try_from(ready).unwrap_or(i32::MAX));
        }
    }

    fn policy(&mut self, cx: &mut Context<'_>) -> Option<&mut Box<dyn Policy + Send>> {
        if self.policy.is_none() {
            self.warm_up(cx);
        }
        self.policy.as_mut()
    }

    fn close_second(&mut self, now: Timestamp) {
        let live = usize::try_from(self.count(Phase::Ready)).unwrap_or(usize::MAX);
        let totals = self.demand.close(live);
        if let Some(policy) = &mut self.policy {
            if let Some(sample) = totals.instances {
                policy.record(now, Origin::Instances, &sample);
            }
            if let Some(sample) = totals.activators {
                policy.record(now, Origin::Activator, &sample);
            }
        }
        self.next_second = next_second(now);
    }

    /// Something happens to a revision that had nothing to decide: what its reporters said in the
    /// meantime belongs to no second.
    fn rouse(&mut self, now: Timestamp) {
        if self.next_due().is_none() {
            let _ = self.demand.close(0);
            self.next_second = next_second(now);
            self.next_tick = now.plus_millis(URGENT_GAP_MS);
        }
    }

    /// Requests wait: decide now, by what waits, instead of at the next tick.
    fn urgent(&mut self, cx: &mut Context<'_>) {
        let since_last = cx.now.millis_since(self.last_tick);
        let waiting = self.demand.waiting();
        let Some(policy) = self.policy(cx) else { return };
        if policy.should_wake(waiting) || since_last >= URGENT_GAP_MS {
            self.tick(cx);
        } else {
            self.next_tick = self.next_tick.min(self.last_tick.plus_millis(URGENT_GAP_MS));
        }
    }

    /// Decides, and follows the decision.
    fn tick(&mut self, cx: &mut Context<'_>) {
        let observed = self.observed();
        let now = cx.now;
        let found = self.found_capacity();
        // What waits at this moment is load, whatever the averages of the past say.
        let held = if observed.waiting > 0 { self.demand.advance() } else { None };
        let Some(policy) = self.policy(cx) else { return };
        if let Some(sample) = held {
            policy.record(now, Origin::Activator, &sample);
        }
        let input = TickInput { now, observed: Some(observed), signals: found.as_slice() };
        let decision = policy.tick(&input);
        self.next_tick = now.plus_millis(policy.tick_interval_ms());
        self.last_tick = now;
        if decision.valid {
            self.decided = decision.desired;
            self.burst_capacity = decision.excess_burst_capacity;
        }
        self.live_by(cx, &decision);
        self.converge(cx);
    }

    /// Lets bounds and the way to zero have their say, and writes the decision down.
    fn live_by(&mut self, cx: &mut Context<'_>, decision: &Decision) {
        let before = self.lifecycle.replicas();
        let grace = self.declaration.lifecycle.grace_period.milliseconds();
        let grace_ms = u64::try_from(grace).unwrap_or(0);
        let observation = Observation {
            decided: self.decided,
            excess_burst_capacity: self.burst_capacity,
            ready: self.count(Phase::Ready),
            // There is no way around the front door, so its grace period is always over.
            plumbing: Plumbing::Present { activator_since: Some(cx.now.minus_millis(grace_ms)) },
            probe: ActivatorProbe::Confirmed,
        };
        let spec = &self.declaration.lifecycle;
        let mut step = self.lifecycle.reconcile(cx.now, spec, &observation);
        if step.rule == StepRule::BecameIdle {
            // That step only puts the activator into the path; the next one is already due.
            step = self.lifecycle.reconcile(cx.now, spec, &observation);
        }
        self.recheck = step
            .recheck_ms
            .and_then(|ms| u64::try_from(ms).ok())
            .map(|ms| cx.now.plus_millis(ms.max(1)));
        let record = Arc::new(DecisionRecord {
            revision: self.declaration.id.clone(),
            unix_ms: cx.now.as_millis(),
            explanation: decision.explanation,
            step,
            before,
        });
        self.journal.push(Arc::clone(&record));
        cx.effects.push(Effect::Decided(record));
    }

    /// Where nobody set a limit and the instances found out their own, what one can carry is what
    /// they say: the load of the last decision, against the mean of their limits.
    fn found_capacity(&self) -> Option<Signal> {
        let PolicyChoice::Knative(settings) = &self.declaration.policy else { return None };
        let mean = self.roster.figures().mean_limit()?;
        if self.declaration.container_concurrency > 0 {
            return None;
        }
        let utilization = settings.spec.target_value / settings.spec.total_value;
        self.measured().map(|load| Signal { target: mean * utilization, ..load })
    }

    /// The load that the last decision went by, if it knew one.
    fn measured(&self) -> Option<Signal> {
        let Detail::Knative(trace) = &self.journal.last()?.explanation.detail else { return None };
        let known = trace.inputs.missing.is_none();
        trace.inputs.signals.as_slice().first().copied().filter(|_| known)
    }

    fn observed(&self) -> Observed {
        Observed {
            ready: self.count(Phase::Ready),
            starting: self.count(Phase::Starting) + self.count(Phase::Unready),
            requested: u32::try_from(self.lifecycle.replicas()).unwrap_or(0),
            in_flight: self.demand.in_flight(),
            waiting: self.demand.waiting(),
        }
    }

    /// Everything that is kept up to date, counted anew.
    #[cfg(test)]
    pub(crate) fn recount(&self) {
        self.roster.recount();
        self.demand.recount();
    }

    pub(crate) fn count(&self, phase: Phase) -> u32 {
        self.roster.figures().count(phase)
    }

    /// Has every activator told where requests may be sent, if that has changed: now, or a little
    /// later with what changes meanwhile.
    fn push_endpoints(&mut self, cx: &mut Context<'_>) {
        if !self.roster.endpoints_changed() {
            return;
        }
        let earliest = self.last_push.plus_millis(PUSH_GAP_MS);
        if cx.now < earliest {
            self.push_due = Some(earliest);
        } else {
            self.push_endpoints_now(cx);
        }
    }

    /// Tells every activator where requests may be sent, before anything that follows.
    fn push_endpoints_now(&mut self, cx: &mut Context<'_>) {
        self.push_due = None;
        if !self.roster.endpoints_changed() {
            return;
        }
        let endpoints = self.roster.endpoints();
        if *endpoints == *self.pushed {
            return;
        }
        self.last_push = cx.now;
        self.pushed = endpoints.into();
        for reporter in cx.activators {
            cx.effects.push(Effect::Tell { reporter: *reporter, word: self.endpoints_word() });
        }
    }

    /// What an activator is told of this revision: at most [`PUSH_GAP_MS`] old.
    pub(crate) fn endpoints_word(&self) -> Word {
        Word::Endpoints { revision: self.id().clone(), endpoints: Arc::clone(&self.pushed) }
    }

    pub(crate) fn status(&self) -> RevisionStatus {
        let last = self.journal.last();
        let trace = last.and_then(|record| match &record.explanation.detail {
            Detail::Knative(trace) => Some(trace),
            _ => None,
        });
        let first = self.measured();
        RevisionStatus {
            revision: self.id().clone(),
            desired: last.map_or(UNDECIDED, |record| record.replicas()),
            ready: self.count(Phase::Ready),
            starting: self.count(Phase::Starting) + self.count(Phase::Unready),
            draining: self.count(Phase::Draining),
            in_panic: trace.is_some_and(|trace| trace.steps.panic_after.since.is_some()),
            stable_concurrency: first.map_or(0.0, |signal| signal.stable),
            panic_concurrency: first.map_or(0.0, |signal| signal.panic),
            waiting: self.demand.waiting(),
            in_flight: self.demand.in_flight(),
            last_reason: last.map(|record| record.to_string()).unwrap_or_default(),
            instances: self
                .roster
                .all()
                .map(|instance| InstanceStatus {
                    name: instance.name.clone(),
                    phase: instance.phase,
                    in_flight: self.demand.at_instance(&instance.name),
                })
                .collect(),
        }
    }
}

fn next_second(now: Timestamp) -> Timestamp {
    now.whole_second().plus_millis(1_000 + SECOND_PHASE_MS)
}
