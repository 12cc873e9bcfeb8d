//! One revision: its reports, its decisions, and its instances.

pub(crate) mod ingest;
mod learning;
mod messages;
mod numbers;
mod orders;
mod overview;
pub(crate) mod reconcile;
mod resting;
mod taken_over;
pub(crate) mod told;

use std::collections::BTreeSet;
use std::sync::Arc;

use tidegate_autoscaler::driver::{Applied, ClusterView, Driver, Path, Urgency};
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::lifecycle::Lifecycle;
use tidegate_autoscaler::sample::{Origin, Sample};
use tidegate_autoscaler::{Decision, Lacks, Observed, Policy, ScalingMetric, Signal, Timestamp};
use tidegate_rollout::Outcomes;

use crate::crash_loop_backoff::CrashLoopBackoff;
use crate::declaration::{Declaration, PolicyChoice};
use crate::demand::{Demand, Totals, with_what_nobody_tells};
use crate::event::{Effect, Endpoint, ServerMessage};
use crate::identity::{ReporterId, RevisionId};
use crate::instance::Phase;
use crate::instances::Instances;
use crate::journal::{DecisionRecord, Hindrance, Journal};
use crate::pin::Pinned;
use crate::revision::reconcile::FORGET_MS;
use crate::revision::told::{Told, WARM_UP_MS};

/// Endpoints that are sent for each millisecond between two lists: a list is sent whole, so that
/// sending a long one for each of many changes would cost the square. A short one hardly waits: an
/// instance that is ready is of use only once activators know of it.
const ENDPOINTS_PER_MS: u64 = 10;

/// Most time between a change of the endpoints and its list, whatever its length.
pub(crate) const PUSH_GAP_MAX_MS: u64 = 100;

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
    /// Instances that may be started now.
    pub(crate) start_room: usize,
    /// Whether there were more to be started; `None` where that was not looked at.
    pub(crate) lacks: Option<Lacks>,
}

impl Context<'_> {
    fn tell_activators(&mut self, message: &ServerMessage) {
        let send = |reporter: &_| Effect::Send { reporter: *reporter, message: message.clone() };
        self.effects.extend(self.activators.iter().map(send));
    }
}

/// The state of one revision.
pub(crate) struct Revision {
    pub(crate) declaration: Declaration,
    driver: Driver<Box<dyn Policy + Send>>,
    demand: Demand,
    /// When the stream of an activator ended last that had reported.
    activator_left_at: Option<Timestamp>,
    /// What became of all requests that were heard of so far.
    pub(crate) outcomes: Outcomes,
    /// What reporters have told so far of the past, until all of them had time to.
    learning: Option<Told>,
    pub(crate) instances: Instances,
    next_number: u64,
    crash: CrashLoopBackoff,
    gave_up: bool,
    /// Bounds that a person set in place of the declared ones.
    pinned: Option<Pinned>,
    /// Whether a person ordered a restart that is not over.
    restarting: bool,
    /// Nothing more is started, because requests go elsewhere.
    retired: bool,
    pub(crate) journal: Journal,
    /// When the number of instances was raised last.
    raised_at: Option<Timestamp>,
    /// When another system had taken that over.
    pub(crate) actuated_at: Option<Timestamp>,
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
            activator_left_at: None,
            outcomes: Outcomes::default(),
            learning: Some(Told::default()),
            instances: Instances::default(),
            next_number: 1,
            crash: CrashLoopBackoff::default(),
            gave_up: false,
            pinned: None,
            restarting: false,
            retired: false,
            journal: Journal::default(),
            raised_at: None,
            actuated_at: None,
            pushed: Arc::from([]),
            last_push: Timestamp::EPOCH,
            push_due: None,
            warm_at,
            next_second: now.next_second(),
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
        let same_queue = self.declaration.queue == declaration.queue;
        let decides_alike = self.declaration.decides_like(&declaration);
        self.declaration = declaration;
        self.send_ports(cx, &before);
        if !same_hold {
            cx.tell_activators(&self.hold_message());
        }
        if !same_queue {
            cx.tell_activators(&self.queue_message());
        }
        let same_ports = before == self.declaration.activator_ports;
        let leads_elsewhere = !(same_ports && same_hold && same_queue);
        if leads_elsewhere && decides_alike {
            // Nothing that is decided changes by it.
            return;
        }
        (self.gave_up, self.retired) = (false, false);
        if self.learning.is_some() {
            // The past may still come in: whatever decides is built of it then.
            return;
        }
        if !same_policy {
            let ready = self.count(Phase::Ready);
            let policy = self.declaration.policy.build(cx.now, ready, &[]);
            self.driver.rebuilt(cx.now, policy);
        }
        self.tick(cx);
    }

    /// When something is due, if nothing happens before. `None` when there is nothing to decide,
    /// no instance, no recommendation of one and no request in a queue, and the policy does not ask
    /// for it.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        if self.learning.is_some() {
            let decision = self.driver.next_due().min(self.warm_at);
            return self.push_due.into_iter().chain([decision]).min();
        }
        if self.is_at_rest() {
            let ends = [self.driver.rest_ends(), self.pin_ends()].into_iter().flatten();
            return self.push_due.into_iter().chain(ends).min();
        }
        let (start, forgetting) = (self.start_deadline(), self.forgetting_due());
        [start, forgetting, self.crash.retry_at(), self.push_due, self.pin_ends()]
            .into_iter()
            .flatten()
            .chain([self.next_second, self.driver.next_due()])
            .min()
    }

    /// Whether there is nothing to decide about.
    fn is_at_rest(&self) -> bool {
        let nothing_there = self.instances.is_empty() && self.demand.in_flight() == 0;
        self.learning.is_none() && nothing_there && self.driver.wants_nothing()
    }

    /// Runs what is due: deadlines, the end of a second, a tick.
    pub(crate) fn due(&mut self, cx: &mut Context<'_>) {
        if self.push_due.is_some_and(|at| cx.now >= at) {
            self.push_endpoints_now(cx);
        }
        if self.is_early(cx.now) {
            if cx.now >= self.driver.next_due() {
                self.tick(cx);
            }
            return;
        }
        self.learn_all(cx);
        self.forget_silent(cx);
        self.fail_late_starters(cx);
        // What activators say of a revision at rest is said of nobody.
        if cx.now >= self.next_second && !self.is_at_rest() {
            self.close_second(cx.now);
        }
        if cx.now >= self.driver.next_due() || self.unpin_in_time(cx) {
            self.tick(cx);
        } else {
            self.reconcile(cx);
        }
    }

    fn close_second(&mut self, now: Timestamp) {
        let live = usize::try_from(self.count(Phase::Ready)).unwrap_or(usize::MAX);
        let totals = self.demand.close(live);
        let instances = match self.misses_activators(now, &totals) {
            true => totals.instances.map(|own| with_what_nobody_tells(own, totals.activators)),
            false => totals.instances,
        };
        let activators = self.rest(totals.activators);
        if self.learning.is_none() {
            if let Some(sample) = instances {
                self.driver.record(now, Origin::Instances, &sample);
            }
            if let Some(sample) = activators {
                self.driver.record(now, Origin::Activator, &sample);
            }
        }
        self.next_second = now.next_second();
    }

    /// Whether an activator that carries requests may not be among those that reported.
    fn misses_activators(&self, now: Timestamp, totals: &Totals) -> bool {
        let left = self.activator_left_at.is_some_and(|at| now.millis_since(at) < FORGET_MS);
        left || totals.silent_activators > 0 || totals.activators.is_none()
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
            self.next_second = now.next_second();
            self.driver.wake(now);
        }
    }

    /// Requests wait: decide now, by what waits, instead of at the next tick.
    fn urgent(&mut self, cx: &mut Context<'_>) {
        if !self.is_early(cx.now) {
            self.learn_all(cx);
        }
        if self.driver.urge(cx.now, self.demand.waiting()) == Urgency::Now {
            self.tick(cx);
        }
    }

    /// Decides, and reconciles the instances with the decision.
    fn tick(&mut self, cx: &mut Context<'_>) {
        self.learn(cx);
        let found = self.found_capacity();
        let scene = ClusterView {
            observed: self.observed(),
            at_activators: Some(f64::from(self.demand.at_activators())),
            signals: found.as_slice(),
            path: Path::ThroughActivator,
        };
        let before = self.replicas();
        let declared = &self.declaration.lifecycle;
        let (decision, followed) = match &self.pinned {
            Some(pinned) => self.driver.tick(cx.now, &scene, &pinned.within(declared)),
            None => self.driver.tick(cx.now, &scene, declared),
        };
        let followed = self.keep_pinned(followed);
        let followed = self.keep_known(followed);
        if self.replicas() > before {
            self.raised_at = Some(cx.now);
        }
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
            pinned: self.pinned.map(|pinned| pinned.bounds),
            hindrance: self.hindrance(cx, step.replicas),
            provisional: self.is_learning().then(|| self.known_instances()),
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
            _ if cx.stopping || self.retired => Some(Hindrance::Stopping),
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
        let earliest = self.last_push.plus_millis(self.push_gap_ms(cx.activators.len()));
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
        self.pushed = endpoints.into();
        self.send_endpoints(cx);
    }

    /// Sends every activator the endpoints as they were looked up last.
    fn send_endpoints(&mut self, cx: &mut Context<'_>) {
        self.last_push = cx.now;
        cx.tell_activators(&self.endpoints_message());
    }

    /// Least time between two lists of endpoints, except for one that must precede something else.
    fn push_gap_ms(&self, activators: usize) -> u64 {
        let pushed = self.pushed.len().saturating_mul(activators) as u64;
        (pushed / ENDPOINTS_PER_MS).clamp(1, PUSH_GAP_MAX_MS)
    }

    /// Requests in queues, as reported.
    pub(crate) fn waiting(&self) -> u32 {
        self.demand.waiting()
    }
}
