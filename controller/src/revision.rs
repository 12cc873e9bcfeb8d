//! One revision: its reports, its decisions, and its instances.

pub(crate) mod ingest;
pub(crate) mod reconcile;

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_autoscaler::driver::{Applied, ClusterView, Driver, Path, Urgency};
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::lifecycle::{Lifecycle, UNDECIDED};
use tidegate_autoscaler::sample::{Origin, Sample};
use tidegate_autoscaler::{Decision, Observed, Policy, ScalingMetric, Signal, Timestamp};
use tidegate_rollout::Outcomes;

use crate::crash_loop_backoff::CrashLoopBackoff;
use crate::declaration::{ActivatorPorts, Declaration, PolicyChoice};
use crate::demand::Demand;
use crate::event::{Effect, Endpoint, ServerMessage};
use crate::history::History;
use crate::identity::{ReporterId, RevisionId};
use crate::instance::Phase;
use crate::instances::Instances;
use crate::journal::{DecisionRecord, Hindrance, Journal};
use crate::status::{InstanceStatus, RevisionStatus};

/// How long a controller that starts no instances itself waits for its reporters' history before it
/// decides. Longer than their longest wait between two attempts to connect.
pub(crate) const WARM_UP_MS: u64 = 2_500;

/// Least time between two endpoint lists to activators, except for one that must precede something
/// else: the list is sent whole, so that sending it for each of many changes would cost the square.
pub(crate) const PUSH_GAP_MS: u64 = 100;

/// Seconds are closed in their middle, so that jitter does not put two into one window bucket.
const SECOND_PHASE_MS: u64 = 500;

/// What a revision may see and do while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) now: Timestamp,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// Streams of the activators, which get the endpoints.
    pub(crate) activators: &'a BTreeSet<ReporterId>,
    /// Nothing more is started.
    pub(crate) stopping: bool,
    /// Seconds of the past that may still be held.
    pub(crate) history_room: usize,
}

/// The state of one revision.
pub(crate) struct Revision {
    pub(crate) declaration: Declaration,
    driver: Driver<Box<dyn Policy + Send>>,
    demand: Demand,
    /// What became of all requests that were heard of so far.
    pub(crate) outcomes: Outcomes,
    /// What reporters remember, until the first decision needs it.
    past: Option<History>,
    pub(crate) instances: Instances,
    next_number: u64,
    crash: CrashLoopBackoff,
    gave_up: bool,
    pub(crate) journal: Journal,
    /// The endpoints that activators got last, when, and when they get the changes since.
    pushed: Arc<[Endpoint]>,
    last_push: Timestamp,
    push_due: Option<Timestamp>,
    warm_at: Timestamp,
    next_second: Timestamp,
    /// The entry of the agenda that is current.
    pub(crate) scheduled: Option<Timestamp>,
}

impl Revision {
    pub(crate) fn new(declaration: Declaration, now: Timestamp) -> Self {
        let bounds = declaration.lifecycle.bounds;
        let launched = declaration.launch.is_some();
        let initial = declaration.lifecycle.initial_scale.max(bounds.min);
        // Instances that this controller starts cannot have a past.
        let warm_at = if launched { now } else { now.plus_millis(WARM_UP_MS) };
        let lifecycle = Lifecycle::new(if launched { bounds.apply(initial).max(0) } else { 0 });
        // It decides nothing before it is rebuilt with the history.
        let policy = declaration.policy.build(now, 0, &[]);
        Self {
            driver: Driver::new(policy, lifecycle, warm_at),
            declaration,
            demand: Demand::default(),
            outcomes: Outcomes::default(),
            past: Some(History::default()),
            instances: Instances::default(),
            next_number: 1,
            crash: CrashLoopBackoff::default(),
            gave_up: false,
            journal: Journal::default(),
            pushed: Arc::from([]),
            last_push: Timestamp::EPOCH,
            push_due: None,
            warm_at,
            next_second: next_second(now),
            scheduled: None,
        }
    }

    pub(crate) fn id(&self) -> &RevisionId {
        &self.declaration.id
    }

    /// Decides by other numbers from now on. Windows, instances and the journal stay.
    pub(crate) fn redeclare(&mut self, cx: &mut Context<'_>, declaration: Declaration) {
        let same_policy = self.declaration.policy == declaration.policy;
        let before = self.declaration.activator_ports.clone();
        let same_hold = self.declaration.hold == declaration.hold;
        let decides_alike = self.declaration.decides_like(&declaration);
        self.declaration = declaration;
        self.send_ports(cx, &before);
        if !same_hold {
            let (message, told) = (self.hold_message(), cx.activators.iter().copied());
            let send = |reporter| Effect::Send { reporter, message: message.clone() };
            cx.effects.extend(told.map(send));
        }
        let leads_elsewhere = before != self.declaration.activator_ports || !same_hold;
        if leads_elsewhere && decides_alike {
            // Nothing that is decided changes by it.
            return;
        }
        self.gave_up = false;
        if self.past.is_some() && same_policy {
            // The past may still come in, and nothing has been decided that would change.
            return;
        }
        if !same_policy {
            let ready = self.count(Phase::Ready);
            *self.driver.policy_mut() = self.declaration.policy.build(cx.now, ready, &[]);
            self.past = None;
        }
        self.tick(cx);
    }

    /// When something is due, if nothing happens before. `None` when there is nothing to decide,
    /// no instance, no recommendation of one and no request in a queue, and the policy does not ask
    /// for it.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.past.is_some() {
            return Some(self.warm_at);
        }
        if self.is_at_rest() {
            return self.push_due.into_iter().chain(self.driver.rest_ends()).min();
        }
        let (start, forgetting) = (self.start_deadline(), self.forgetting_due());
        [start, forgetting, self.crash.retry_at(), self.push_due]
            .into_iter()
            .flatten()
            .chain([self.next_second, self.driver.next_due()])
            .min()
    }

    /// Whether there is nothing to decide about.
    fn is_at_rest(&self) -> bool {
        let nothing_there = self.instances.is_empty() && self.demand.in_flight() == 0;
        self.past.is_none() && nothing_there && self.driver.wants_nothing()
    }

    /// Runs what is due: deadlines, the end of a second, a tick.
    pub(crate) fn due(&mut self, cx: &mut Context<'_>) {
        if self.past.is_some() {
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
        // What activators say of a revision at rest is said of nobody.
        if cx.now >= self.next_second && !self.is_at_rest() {
            self.close_second(cx.now);
        }
        if cx.now >= self.driver.next_due() {
            self.tick(cx);
        } else {
            self.reconcile(cx);
        }
    }

    /// Seconds of the past that are held until the first decision.
    pub(crate) fn history_seconds(&self) -> usize {
        self.past.as_ref().map_or(0, History::len)
    }

    /// The past is as complete as it gets: start to decide, if that has not been done before.
    fn warm_up(&mut self, cx: &mut Context<'_>) {
        let Some(past) = self.past.take() else { return };
        let ready = self.count(Phase::Ready);
        let history = past.entries(cx.now);
        *self.driver.policy_mut() = self.declaration.policy.build(cx.now, ready, &history);
        if self.declaration.launch.is_none()
            && let Some(lifecycle) = self.driver.lifecycle_mut()
        {
            lifecycle.set_replicas(i32::try_from(ready).unwrap_or(i32::MAX));
        }
    }

    fn close_second(&mut self, now: Timestamp) {
        let live = usize::try_from(self.count(Phase::Ready)).unwrap_or(usize::MAX);
        let totals = self.demand.close(live);
        let activators = self.rest(totals.activators);
        if self.past.is_none() {
            if let Some(sample) = totals.instances {
                self.driver.record(now, Origin::Instances, &sample);
            }
            if let Some(sample) = activators {
                self.driver.record(now, Origin::Activator, &sample);
            }
        }
        self.next_second = next_second(now);
    }

    /// The activators' second without what was recorded of it before it was over.
    fn rest(&mut self, second: Option<Sample>) -> Option<Sample> {
        let concurrency = self.driver.take_rest(second.map_or(0.0, |sample| sample.concurrency()));
        let sample = second?;
        let (proxied, rate) = (sample.proxied_concurrency(), sample.request_rate());
        Sample::new(concurrency, proxied, rate, sample.proxied_request_rate()).ok()
    }

    /// A revision that had nothing to decide has something again: what its reporters sent in the
    /// meantime belongs to no second.
    fn wake(&mut self, now: Timestamp) {
        if self.is_at_rest() {
            let _ = self.demand.close(0);
            self.next_second = next_second(now);
            self.driver.wake(now);
        }
    }

    /// Requests wait: decide now, by what waits, instead of at the next tick.
    fn urgent(&mut self, cx: &mut Context<'_>) {
        self.warm_up(cx);
        if self.driver.urge(cx.now, self.demand.waiting()) == Urgency::Now {
            self.tick(cx);
        }
    }

    /// Decides, and reconciles the instances with the decision.
    fn tick(&mut self, cx: &mut Context<'_>) {
        self.warm_up(cx);
        let found = self.found_capacity();
        let scene = ClusterView {
            observed: self.observed(),
            at_activators: Some(f64::from(self.demand.at_activators())),
            signals: found.as_slice(),
            path: Path::ThroughActivator,
        };
        let (decision, followed) = self.driver.tick(cx.now, &scene, &self.declaration.lifecycle);
        self.note(cx, &decision, followed);
        self.reconcile(cx);
    }

    /// Writes a decision down, and what followed from it.
    fn note(&mut self, cx: &mut Context<'_>, decision: &Decision, followed: Applied) {
        let Some(step) = followed.step else { return };
        let record = Arc::new(DecisionRecord {
            revision: self.declaration.id.clone(),
            unix_ms: cx.now.as_millis(),
            explanation: decision.explanation,
            step,
            before: followed.before,
            hindrance: self.hindrance(cx, step.replicas),
        });
        self.journal.push(Arc::clone(&record));
        cx.effects.push(Effect::Decided(record));
    }

    /// Why instances would not be started although fewer than `replicas` are there.
    fn hindrance(&self, cx: &Context<'_>, replicas: i32) -> Option<Hindrance> {
        let kept = self.instances.figures().started_kept();
        let lacks = u32::try_from(replicas).is_ok_and(|replicas| replicas > kept);
        if self.declaration.launch.is_none() || !lacks {
            return None;
        }
        let failures = self.crash.failures();
        match self.crash.retry_at() {
            _ if cx.stopping => Some(Hindrance::Stopping),
            _ if self.gave_up => Some(Hindrance::GaveUp { attempts: failures }),
            Some(at) if at > cx.now => {
                Some(Hindrance::Backoff { failures, rest_ms: at.millis_since(cx.now) })
            }
            _ => None,
        }
    }

    /// Instances that are wanted.
    fn replicas(&self) -> i32 {
        self.driver.lifecycle().map_or(0, Lifecycle::replicas)
    }

    /// Where no limit is set and the sidecars adapt their own, what one instance can carry is what
    /// they report: the load of the last decision, against the mean of their limits.
    fn found_capacity(&self) -> Option<Signal> {
        let PolicyChoice::Knative(settings) = &self.declaration.policy else { return None };
        let mean = self.instances.figures().mean_limit()?;
        // A limit bounds requests in flight, and not requests a second.
        let in_flight = settings.spec.scaling_metric == ScalingMetric::Concurrency;
        if self.declaration.container_concurrency > 0 || !in_flight {
            return None;
        }
        let utilization = settings.spec.target_value / settings.spec.total_value;
        self.measured().map(|load| Signal { target: mean * utilization, ..load })
    }

    /// The load that the last decision was based on, if there was one.
    fn measured(&self) -> Option<Signal> {
        let Detail::Knative(trace) = &self.journal.last()?.explanation.detail else { return None };
        let known = trace.inputs.missing.is_none();
        trace.inputs.signals.as_slice().first().copied().filter(|_| known)
    }

    fn observed(&self) -> Observed {
        Observed {
            ready: self.count(Phase::Ready),
            starting: self.count(Phase::Starting) + self.count(Phase::Unready),
            requested: u32::try_from(self.replicas()).unwrap_or(0),
            // Reporters count what waits as being in flight, too.
            in_flight: self.demand.in_flight().saturating_sub(self.demand.waiting()),
            waiting: self.demand.waiting(),
            at_once: None,
        }
    }

    /// Asserts that the running sums equal a fresh count.
    #[cfg(test)]
    pub(crate) fn recount(&self) {
        self.instances.recount();
        self.demand.recount();
    }

    pub(crate) fn count(&self, phase: Phase) -> u32 {
        self.instances.figures().count(phase)
    }

    /// Sends every activator the endpoints, if they have changed: now, or a little
    /// later with what changes meanwhile.
    fn push_endpoints(&mut self, cx: &mut Context<'_>) {
        if !self.instances.endpoints_changed() {
            return;
        }
        let earliest = self.last_push.plus_millis(PUSH_GAP_MS);
        if cx.now < earliest {
            self.push_due = Some(earliest);
        } else {
            self.push_endpoints_now(cx);
        }
    }

    /// Sends every activator the endpoints, ahead of the effects that follow.
    fn push_endpoints_now(&mut self, cx: &mut Context<'_>) {
        self.push_due = None;
        if !self.instances.endpoints_changed() {
            return;
        }
        let endpoints = self.instances.endpoints();
        if *endpoints == *self.pushed {
            return;
        }
        self.last_push = cx.now;
        self.pushed = endpoints.into();
        for reporter in cx.activators {
            cx.effects
                .push(Effect::Send { reporter: *reporter, message: self.endpoints_message() });
        }
    }

    /// The endpoints as activators have them: at most [`PUSH_GAP_MS`] old.
    pub(crate) fn endpoints_message(&self) -> ServerMessage {
        ServerMessage::Endpoints {
            revision: self.id().clone(),
            endpoints: Arc::clone(&self.pushed),
        }
    }

    /// Tells activators and queue-proxies what is other than `before` of where requests come in.
    fn send_ports(&self, cx: &mut Context<'_>, before: &ActivatorPorts) {
        let now = &self.declaration.activator_ports;
        let send =
            |reporter, message: &ServerMessage| Effect::Send { reporter, message: message.clone() };
        if before.overflow != now.overflow {
            let message = self.overflow_message();
            let told = self.instances.all().filter_map(|instance| instance.stream);
            cx.effects.extend(told.map(|reporter| send(reporter, &message)));
        }
        if before.is_listened_on_like(now) {
            return;
        }
        let message = self.ports_message();
        cx.effects.extend(cx.activators.iter().map(|reporter| send(*reporter, &message)));
    }

    /// How activators take its requests besides those that name it.
    pub(crate) fn ports_message(&self) -> ServerMessage {
        let ports = Arc::new(self.declaration.activator_ports.clone());
        ServerMessage::ListenPorts { revision: self.id().clone(), ports }
    }

    /// Where its queue-proxies may hand requests on.
    pub(crate) fn overflow_message(&self) -> ServerMessage {
        ServerMessage::Overflow {
            addresses: self.declaration.activator_ports.overflow.as_slice().into(),
        }
    }

    /// How activators hold its requests.
    pub(crate) fn hold_message(&self) -> ServerMessage {
        ServerMessage::HoldBounds { revision: self.id().clone(), bounds: self.declaration.hold }
    }

    /// What activators are told of a revision that is about to be forgotten. Those that do not know
    /// the last message act on the others.
    pub(crate) fn farewell(&self) -> [ServerMessage; 3] {
        let (revision, ports) = (self.id().clone(), Arc::default());
        [
            ServerMessage::Endpoints { revision: revision.clone(), endpoints: Arc::from([]) },
            ServerMessage::ListenPorts { revision: revision.clone(), ports },
            ServerMessage::Undeclared { revision },
        ]
    }

    /// Requests in queues, as reported.
    pub(crate) fn waiting(&self) -> u32 {
        self.demand.waiting()
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
                .instances
                .all()
                .map(|instance| InstanceStatus {
                    name: instance.name.clone(),
                    phase: instance.phase,
                    in_flight: self.demand.at_instance(&instance.name),
                    counts_connections: instance.counts_connections,
                })
                .collect(),
        }
    }
}

fn next_second(now: Timestamp) -> Timestamp {
    now.whole_second().plus_millis(1_000 + SECOND_PHASE_MS)
}
