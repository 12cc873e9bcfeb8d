//! The simulated world: the state of a run and the loop that advances it.
//!
//! One [`World`] is one run. Time jumps from one event to the next. Of things due at the same
//! instant, queued events run first, in the order in which they were pushed, then the arrival, then
//! the tick. A tick is every whole second: active revisions report, and at every second tick their
//! policies decide. A revision at zero does not tick, and one whose instances idle sleeps while its
//! decisions stay what they are (`sleep`), so a million of them cost nothing.
//!
//! In reading order, first the state: `request`, `instance`, `contention` (requests that slow each
//! other), `revision`, `urgency` (local mode's early reports), `nodes`, `turns` and `starts`,
//! `sleepers`, `counters` and `totals`, `alarm` and `slots`. Each of these changes only itself.
//! Then the transitions, which touch several of them: `entry` (admission of a request), `service`
//! (its service and its end), `fleet` (start and removal of instances), `in_turn` (whose turn it is
//! to start), `starting` (what starts share meanwhile), `placement` (on nodes), `tick` (reports and
//! decisions), `sleep` (who need not take part in it), `out_of_turn` (local mode's early
//! decisions), `failure` (injected faults), `levels` (gauges over time), `finish` (the result).

mod alarm;
mod contention;
mod counters;
mod decision_log;
mod drawn;
mod entry;
mod failure;
mod finish;
mod fleet;
mod in_turn;
mod instance;
mod levels;
mod nodes;
mod out_of_turn;
mod placement;
mod request;
mod revision;
mod service;
mod sleep;
mod sleepers;
mod slots;
mod starting;
mod starts;
mod tick;
mod totals;
mod turns;
mod urgency;

use std::hint::black_box;
use std::sync::Arc;

use slab::Slab;

use crate::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames, Traffic};
use crate::error::RunError;
use crate::events::{Event, EventQueue, Kind, NEVER};
use crate::output::RunOutput;
use crate::random::{Stream, Streams};
use crate::record::Observer;
use crate::scaler::{Explains, Rules};
use crate::scenario::{Keep, RevisionModel, Scenario};
use crate::series::recorder::SeriesRecorder;
use crate::time::{NANOS_PER_SEC, SimTime};
use decision_log::DecisionLog;
use instance::Instance;
use nodes::Nodes;
use request::Request;
use revision::{Asked, Revision};
use sleepers::Sleepers;
use starts::Starts;
use totals::Totals;
use turns::Ordered;

/// Arrivals between two calls of [`Observer::progress`].
const PROGRESS_EVERY: u64 = 1 << 16;
/// After the last arrival requests are given this long to end when no duration says otherwise:
/// longer than any sensible timeout, so that a run whose requests can never be served ends too.
const LAST_WAIT_NS: u64 = 24 * 3_600 * NANOS_PER_SEC;

/// Events that are scheduled too seldom to deserve an event kind of their own.
#[derive(Debug, Clone)]
enum ScheduledEvent {
    /// The warm-up is over.
    WarmUp,
    /// A client tries again.
    Retry { revision: u32, service_ns: u64, attempt: u32, client: u32 },
    /// A client of the closed loop has finished thinking and sends its next request.
    Client { client: u32 },
    /// The failure with this index in the scenario.
    Failure(usize),
    /// The controller restarts after an outage.
    ControllerBack,
    /// An ordered node of a kind has joined.
    Node { kind: usize },
    /// The notice of a node is over: it is taken away.
    NodeGone { node: u32, number: u64 },
    /// A node that has been empty `since` then may be removed.
    NodeIdle { node: u32, since: u64 },
    /// The control plane is done with the start of an instance.
    Start(Ordered),
    /// Start-ups on a node may be done.
    StartUps { node: u32 },
    /// The turn of a start may have ended by itself.
    TurnEnds,
    /// It is looked whether the machine has time left for more starts.
    Slack,
}

/// One run.
pub(crate) struct World<'a, O> {
    scenario: &'a Scenario,
    /// Says what is known of revisions beside their arrivals.
    traffic: &'a dyn Traffic,
    /// The model of every revision that has none of its own.
    model: Arc<RevisionModel>,
    /// What its settings come to, once they were needed.
    rules: Option<Rules>,
    streams: Streams,
    observer: &'a mut O,
    now: u64,
    end: u64,
    /// Requests that arrive before this are not counted.
    counted_from: u64,
    events: EventQueue,
    requests: Slab<Request>,
    instances: Slab<Instance>,
    revisions: Vec<Revision>,
    scheduled: Slab<ScheduledEvent>,
    nodes: Option<Nodes>,
    starts: Starts,
    /// Revisions that tick, in the order in which they became active, which stands before each.
    active: Vec<(u64, u32)>,
    /// How often one became active.
    activations: u64,
    sleepers: Sleepers,
    may_sleep: bool,
    next_tick: u64,
    /// The last tick.
    ticked: u64,
    /// The controller makes no decisions before this time, nanoseconds.
    controller_down_until: u64,
    arrivals: u64,
    /// Times that something was taken away by chance.
    takings: u64,
    /// Requests that entered so far: the number of the next one.
    entered: u64,
    /// Retries that are scheduled.
    retries_pending: u64,
    /// Sums over all revisions.
    total: Totals,
    think: Option<Stream>,
    client_revision: u32,
    decisions: DecisionLog,
    cold_starts_s: Vec<f64>,
    /// The observer asked for an early end.
    stopped: bool,
}

impl<'a, O: Observer> World<'a, O> {
    /// A world at time zero.
    pub(crate) fn new(
        scenario: &'a Scenario,
        traffic: &'a dyn Traffic,
        observer: &'a mut O,
    ) -> Result<Self, RunError> {
        failure::check(scenario)?;
        if let Some(problem) = scenario.starts.problem() {
            return Err(RunError::Model(problem));
        }
        let streams = Streams::new(scenario.seed);
        let may_sleep = sleepers::is_possible(scenario);
        let series = (scenario.recording.series == Keep::Yes).then(SeriesRecorder::new);
        let nodes = (!scenario.nodes.is_empty()).then(|| Nodes::new(&scenario.nodes, &streams));
        let mut world = World {
            scenario,
            traffic,
            model: Arc::new(scenario.revision.clone()),
            rules: None,
            streams,
            observer,
            now: 0,
            end: scenario.duration.map_or(NEVER, |duration| duration.as_nanos()),
            counted_from: scenario.warm_up.as_nanos(),
            events: EventQueue::default(),
            requests: Slab::new(),
            instances: Slab::new(),
            revisions: Vec::new(),
            scheduled: Slab::new(),
            nodes,
            starts: Starts::new(&scenario.starts),
            active: Vec::new(),
            activations: 0,
            sleepers: Sleepers::default(),
            may_sleep,
            next_tick: NEVER,
            ticked: 0,
            controller_down_until: 0,
            arrivals: 0,
            takings: 0,
            entered: 0,
            retries_pending: 0,
            total: Totals::new(series),
            think: None,
            client_revision: 0,
            decisions: DecisionLog::new(scenario.recording.decisions),
            cold_starts_s: Vec::new(),
            stopped: false,
        };
        if world.counted_from > 0 {
            world.schedule(world.counted_from, ScheduledEvent::WarmUp);
        }
        for (index, failure) in scenario.failures.iter().enumerate() {
            world.schedule(failure.at.as_nanos(), ScheduledEvent::Failure(index));
        }
        Ok(world)
    }

    /// Runs until the duration has passed, or until no work is left, and returns the result.
    pub(crate) fn run(
        mut self,
        source: &mut (dyn ArrivalSource + Send),
    ) -> Result<RunOutput, RunError> {
        self.register(source.names())?;
        self.start_clients(source.names())?;
        let mut next = self.pull(source, 0)?;
        loop {
            let arrival_at = next.map_or(NEVER, |arrival| arrival.at.as_nanos());
            let event_at = self.events.next_at();
            let at = arrival_at.min(event_at).min(self.next_tick);
            if at > self.end || at == NEVER || self.stopped {
                self.sleep_to_the_end();
                break;
            }
            debug_assert!(at >= self.now, "time goes back from {} to {at}", self.now);
            self.now = at;
            // Events first: an instance that becomes ready at this instant takes this arrival.
            if event_at == at {
                if let Some(event) = self.events.pop() {
                    self.look_ahead();
                    self.handle(event)?;
                }
            } else if let Some(arrival) = next.filter(|_| arrival_at == at) {
                self.take(&arrival, source.names())?;
                next = self.pull(source, at)?;
                // A run without a duration ends when its requests do; this bounds the ones that
                // can never be served.
                if next.is_none() && self.end == NEVER {
                    self.end = at.saturating_add(LAST_WAIT_NS);
                }
            } else {
                self.tick();
            }
            if next.is_none() && self.is_over() {
                break;
            }
        }
        self.outlasted_warm_up()?;
        Ok(self.finish(source.names()))
    }

    /// Whether nothing is left to do and no duration asks to go on.
    fn is_over(&self) -> bool {
        self.scenario.duration.is_none()
            && self.requests.is_empty()
            && self.scenario.clients.is_none()
            && self.retries_pending == 0
    }

    fn pull(
        &mut self,
        source: &mut (dyn ArrivalSource + Send),
        before: u64,
    ) -> Result<Option<Arrival>, RunError> {
        let Some(arrival) = source.next().transpose().map_err(RunError::Traffic)? else {
            return Ok(None);
        };
        self.arrivals += 1;
        if arrival.at.as_nanos() < before {
            return Err(RunError::Order {
                number: self.arrivals,
                at_s: arrival.at.as_secs_f64(),
                before_s: SimTime::from_nanos(before).as_secs_f64(),
            });
        }
        if self.arrivals.is_multiple_of(PROGRESS_EVERY) {
            let now = SimTime::from_nanos(self.now);
            self.stopped = !self.observer.progress(now, self.arrivals);
        }
        Ok(Some(arrival))
    }

    fn take(&mut self, arrival: &Arrival, names: &RevisionNames) -> Result<(), RunError> {
        let RevisionIndex(revision) = arrival.revision;
        if revision as usize >= self.revisions.len() {
            self.register(names)?;
        }
        if revision as usize >= self.revisions.len() {
            return Err(RunError::Model(format!(
                "the traffic names revision {revision} before it gives that revision a name"
            )));
        }
        let service = arrival.service.map(|span| span.as_nanos());
        self.enter(revision, service, request::NO_CLIENT, 0)
    }

    /// Has the processor fetch what the next event is about while this one is handled: with a
    /// thousand requests at as many instances, it is not in the nearest cache. It only looks, so
    /// the result does not depend on it.
    #[inline]
    fn look_ahead(&self) {
        let Some(tag) = self.events.next_tag().filter(|tag| tag.kind() == Kind::Request) else {
            return;
        };
        if let Some(request) = self.requests.get(tag.slot() as usize)
            && let Some(place) = self.instances.get(request.instance as usize)
        {
            black_box((place.holds, place.executing()));
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), RunError> {
        let slot = event.tag.slot();
        match event.tag.kind() {
            Kind::Request => self.request_due(slot, event.tag),
            Kind::Instance => self.instance_due(slot, event.tag),
            Kind::Revision => self.revision_due(slot, event.tag),
            Kind::Other => return self.scheduled_event_due(slot),
        }
        Ok(())
    }

    fn schedule(&mut self, at: u64, scheduled: ScheduledEvent) {
        let slot = self.scheduled.insert(scheduled);
        self.events.push(at, Kind::Other, slot as u32);
    }

    fn scheduled_event_due(&mut self, slot: u32) -> Result<(), RunError> {
        let Some(scheduled) = self.scheduled.try_remove(slot as usize) else { return Ok(()) };
        match scheduled {
            ScheduledEvent::WarmUp => {
                let now = self.now;
                self.revisions.iter_mut().for_each(|revision| revision.counters.restart(now));
                self.total.restart();
                self.nodes.iter_mut().for_each(|nodes| nodes.restart(now));
                Ok(())
            }
            ScheduledEvent::Retry { revision, service_ns, attempt, client } => {
                self.retries_pending -= 1;
                self.enter(revision, Some(service_ns), client, attempt)
            }
            ScheduledEvent::Client { client } => self.enter(self.client_revision, None, client, 0),
            ScheduledEvent::Failure(index) => self.fail(index),
            ScheduledEvent::ControllerBack => {
                self.controller_back();
                Ok(())
            }
            ScheduledEvent::Node { kind } => {
                self.node_arrives(kind);
                Ok(())
            }
            ScheduledEvent::NodeGone { node, number } => {
                self.notice_is_over(node, number);
                Ok(())
            }
            ScheduledEvent::NodeIdle { node, since } => {
                self.node_idles(node, since);
                Ok(())
            }
            ScheduledEvent::Start(ordered) => {
                self.started(ordered);
                Ok(())
            }
            ScheduledEvent::StartUps { node } => {
                self.start_ups_due(node);
                Ok(())
            }
            ScheduledEvent::TurnEnds => {
                self.turn_ends();
                Ok(())
            }
            ScheduledEvent::Slack => {
                self.look_for_slack();
                Ok(())
            }
        }
    }

    /// Creates the revisions that the traffic has named since the last call.
    fn register(&mut self, names: &RevisionNames) -> Result<(), RunError> {
        for index in self.revisions.len()..names.len() {
            let index = index as u32;
            let name = names.name(RevisionIndex(index));
            let own = self.scenario.revisions.get(name).map(|model| Arc::new(model.clone()));
            let fail = |problem| RunError::Setting { revision: name.to_owned(), problem };
            let rules = match &own {
                Some(own) => Rules::new(own).map_err(fail)?,
                None => self.rules_of_most().map_err(fail)?,
            };
            let model = own.as_ref().unwrap_or(&self.model);
            let recording = &self.scenario.recording;
            let explains = recording.decisions > 0 || self.observer.wants_decisions();
            let asked = Asked {
                series: if index < recording.revision_series { Keep::Yes } else { Keep::No },
                explains: if explains { Explains::Yes } else { Explains::No },
            };
            failure::check_room(self.scenario, model).map_err(fail)?;
            let made = Revision::new(index, name, (model, rules), &self.streams, self.now, asked);
            let revision = made.map_err(fail)?;
            self.total.add_revision(u64::from(revision.is_proxied()));
            self.revisions.push(revision);
            self.begin_revision(index);
        }
        Ok(())
    }

    /// What the settings of every revision without a model of its own come to.
    fn rules_of_most(&mut self) -> Result<Rules, String> {
        if let Some(rules) = &self.rules {
            return Ok(rules.clone());
        }
        Ok(self.rules.insert(Rules::new(&self.model)?).clone())
    }

    fn start_clients(&mut self, names: &RevisionNames) -> Result<(), RunError> {
        let Some(clients) = &self.scenario.clients else { return Ok(()) };
        if self.scenario.duration.is_none() {
            let problem = "clients in a closed loop never end; give the run a duration";
            return Err(RunError::Model(problem.to_owned()));
        }
        let found = names.find(&clients.revision);
        let RevisionIndex(revision) = found.ok_or_else(|| {
            RunError::Model(format!("clients ask `{}`, which the traffic lacks", clients.revision))
        })?;
        self.client_revision = revision;
        self.think = Some(self.streams.stream("think", 0));
        for client in 0..clients.count {
            self.client_thinks(client);
        }
        Ok(())
    }

    /// Schedules a client's next request after a think time.
    fn client_thinks(&mut self, client: u32) {
        let (Some(clients), Some(stream)) = (&self.scenario.clients, &mut self.think) else {
            return;
        };
        let at = self.now.saturating_add(clients.think.sample(stream).as_nanos());
        self.schedule(at, ScheduledEvent::Client { client });
    }
}
