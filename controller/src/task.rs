//! The task that owns the state: wait for an event, apply it, carry out its effects.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_autoscaler::{StartPace, Timestamp};
use tidegate_rollout::Outcomes;
use tidegate_shards::Shard;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

mod actuator;
mod looking;
mod routing;

pub use self::actuator::{Actuator, NoActuator};

use self::looking::Look;
use self::routing::{Leader, RoutesRequest};
use crate::clock::Clock;
use crate::cold_start::ColdStart;
use crate::declaration::Declaration;
use crate::error::Ended;
use crate::event::{Effect, Event, StopMode};
use crate::identity::{ReporterId, RevisionId};
use crate::journal::DecisionRecord;
use crate::metrics::Metrics;
use crate::notice::Notice;
use crate::overview::{Detail, DetailQuery, Overview};
use crate::pin::Pin;
use crate::report::{Hello, Report};
use crate::response_stream::ResponseSender;
use crate::routes::RolloutRecord;
use crate::state::{State, Totals, UndeclaredRevisions};
use crate::status::RevisionStatus;

/// Capacity of the inbox; while it is full, streams are read more slowly.
const INBOX_DEPTH: usize = 4_096;

/// Decisions and notices that a slow watcher may fall behind before it misses some.
const WATCH_DEPTH: usize = 1_024;

/// Histories that may wait for the owner. One may have a thousand reports, so that these bound what
/// all of them hold, and not only how many messages there are.
const HISTORIES_MAX: usize = 64;

/// Watchers of decisions at a time.
pub(crate) const WATCHERS_MAX: usize = 1_000;

pub(crate) enum Message {
    Event(Event),
    Remembered { reporter: ReporterId, reports: Vec<Report>, place: OwnedSemaphorePermit },
    Open { reporter: ReporterId, hello: Hello, sender: ResponseSender },
    Statuses(oneshot::Sender<Vec<RevisionStatus>>),
    Totals(oneshot::Sender<Totals>),
    Outcomes(Vec<RevisionId>, oneshot::Sender<Vec<Option<Outcomes>>>),
    ColdStarts(RevisionId, oneshot::Sender<Vec<ColdStart>>),
    Decisions(RevisionId, usize, oneshot::Sender<Option<Vec<Arc<DecisionRecord>>>>),
    Routes(RoutesRequest),
    Look(Look),
}

/// Sends messages to a running controller. Cheap to clone; the controller ends when the last one is
/// dropped.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::Sender<Message>,
    decisions: broadcast::Sender<Arc<DecisionRecord>>,
    notices: broadcast::Sender<Notice>,
    reporters: Arc<AtomicU64>,
    histories: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    rollouts: watch::Receiver<Vec<RolloutRecord>>,
    metrics: Metrics,
    clock: Clock,
    shard: Shard,
}

/// A controller that does nothing until [`Controller::run`] is polled.
pub struct Controller {
    state: State,
    leader: Leader,
    inbox: mpsc::Receiver<Message>,
    senders: HashMap<ReporterId, ResponseSender>,
    decisions: broadcast::Sender<Arc<DecisionRecord>>,
    notices: broadcast::Sender<Notice>,
    metrics: Metrics,
    clock: Clock,
}

/// Makes a controller and the handle to it.
#[must_use]
pub fn controller(undeclared: UndeclaredRevisions) -> (Handle, Controller) {
    counted(undeclared, Metrics::default())
}

/// Makes a controller that counts what happens in `metrics`, and the handle to it.
#[must_use]
pub fn counted(undeclared: UndeclaredRevisions, metrics: Metrics) -> (Handle, Controller) {
    of_shard(Shard::ONLY, undeclared, metrics)
}

/// As [`counted`], for a controller that has the revisions of this shard: reporters of others are
/// refused, and told which shard is theirs. What is declared here is the caller's to choose.
#[must_use]
pub fn of_shard(
    shard: Shard,
    undeclared: UndeclaredRevisions,
    metrics: Metrics,
) -> (Handle, Controller) {
    let (sender, inbox) = mpsc::channel(INBOX_DEPTH);
    let decisions = broadcast::Sender::new(WATCH_DEPTH);
    let notices = broadcast::Sender::new(WATCH_DEPTH);
    let clock = Clock::start();
    let (leader, rollouts) = Leader::new(shard);
    let handle = Handle {
        inbox: sender,
        decisions: decisions.clone(),
        notices: notices.clone(),
        reporters: Arc::default(),
        histories: Arc::new(Semaphore::new(HISTORIES_MAX)),
        watchers: Arc::new(Semaphore::new(WATCHERS_MAX)),
        rollouts,
        metrics: metrics.clone(),
        clock,
        shard,
    };
    let state = State::new(undeclared);
    let senders = HashMap::new();
    let controller =
        Controller { state, leader, inbox, senders, decisions, notices, metrics, clock };
    (handle, controller)
}

impl Handle {
    /// Declares a revision, or replaces its declaration.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn declare(&self, declaration: Declaration) -> Result<(), Ended> {
        self.happened(Event::Declare(Box::new(declaration))).await
    }

    /// Forgets a revision; one that was never declared is none.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn undeclare(&self, revision: RevisionId) -> Result<(), Ended> {
        self.happened(Event::Undeclare(revision)).await
    }

    /// Drains the instances of a revision that requests no longer go to, and starts no more. Once
    /// it has none, it can be undeclared without anything being cut off.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn retire(&self, revision: RevisionId) -> Result<(), Ended> {
        self.happened(Event::Retire(revision)).await
    }

    /// Stops every instance that was started; [`Notice::AllStopped`] follows.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn stop(&self, mode: StopMode) -> Result<(), Ended> {
        self.happened(Event::Stop(mode)).await
    }

    /// Has every instance of a revision replaced, a new one before an old one each time.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn restart(&self, revision: RevisionId) -> Result<(), Ended> {
        self.happened(Event::Restart(revision)).await
    }

    /// Sets other bounds for a revision than were declared; `None` takes that back.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn pin(&self, revision: RevisionId, pin: Option<Pin>) -> Result<(), Ended> {
        self.happened(Event::Pin { revision, pin }).await
    }

    /// Sends an event to the controller. Waits while its inbox is full.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn happened(&self, event: Event) -> Result<(), Ended> {
        self.send(Message::Event(event)).await
    }

    /// The status of every revision.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn statuses(&self) -> Result<Vec<RevisionStatus>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Statuses(answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// What became of the requests of revisions since each was declared, in their order; `None` for
    /// one that there is not.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn outcomes(
        &self,
        revisions: Vec<RevisionId>,
    ) -> Result<Vec<Option<Outcomes>>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Outcomes(revisions, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Brings the gauges up to date, before they are read.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn refresh_metrics(&self) -> Result<(), Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Totals(answer)).await?;
        self.metrics.show(&answered.await.map_err(|_| Ended)?);
        Ok(())
    }

    /// Whether both lead to the same controller.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.inbox.same_channel(&other.inbox)
    }

    /// Whether the controller has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.inbox.is_closed()
    }

    /// The metrics of this controller.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The last `count` decisions of a revision, newest first; `None` if there is no such one.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn decisions(
        &self,
        revision: RevisionId,
        count: usize,
    ) -> Result<Option<Vec<Arc<DecisionRecord>>>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Decisions(revision, count, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// The last cold starts of a revision that activators told of, newest first.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn cold_starts(&self, revision: RevisionId) -> Result<Vec<ColdStart>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::ColdStarts(revision, answer)).await?;
        answered.await.map_err(|_| Ended)
    }

    /// The numbers of every revision, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn overviews(&self) -> Result<Vec<Overview>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Look(Look::All(answer))).await?;
        answered.await.map_err(|_| Ended)
    }

    /// What there is to read of a revision; `None` if there is no such one.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn detail(
        &self,
        revision: RevisionId,
        query: DetailQuery,
    ) -> Result<Option<Detail>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.send(Message::Look(Look::One(revision, query, answer))).await?;
        answered.await.map_err(|_| Ended)
    }

    /// Decisions from now on, as they are made. A receiver that reads too slowly loses the oldest
    /// and gets their number: a receiver holds `WATCH_DEPTH` of them.
    #[must_use]
    pub fn watch_decisions(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.decisions.subscribe()
    }

    /// Notices about instances from now on.
    #[must_use]
    pub fn watch_notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Sends what a reporter remembers; waits while many histories are pending.
    pub(crate) async fn remembered(
        &self,
        reporter: ReporterId,
        reports: Vec<Report>,
    ) -> Result<(), Ended> {
        let place = Arc::clone(&self.histories).acquire_owned().await.map_err(|_| Ended)?;
        self.send(Message::Remembered { reporter, reports, place }).await
    }

    /// A permit to watch decisions, while fewer than `WATCHERS_MAX` are held.
    pub(crate) fn watcher(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.watchers).try_acquire_owned().ok()
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), Ended> {
        self.inbox.send(message).await.map_err(|_| Ended)
    }

    pub(crate) fn next_reporter(&self) -> ReporterId {
        ReporterId(self.reporters.fetch_add(1, Ordering::Relaxed))
    }

    /// The time by which decisions are dated.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Which of the controllers this is that divide the revisions among them.
    #[must_use]
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The clock of the state.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }
}

impl Controller {
    /// Has no more instances start at a time than this allows.
    #[must_use]
    pub fn paced(mut self, pace: StartPace) -> Self {
        self.state.pace_starts(pace);
        self
    }

    /// Runs until every [`Handle`] is dropped. Not cancel safe in so far as a dropped controller
    /// forgets everything; instances are the actuator's to clean up.
    pub async fn run(mut self, mut actuator: impl Actuator) {
        loop {
            let due = [self.state.next_due(), self.leader.next_due()].into_iter().flatten().min();
            let due = due.map(|at| self.clock.instant(at));
            let message = tokio::select! {
                biased;
                message = self.inbox.recv() => match message {
                    Some(message) => message,
                    None => return,
                },
                () = sleep_until(due) => Message::Event(Event::Due),
            };
            match message {
                Message::Event(event) => self.apply(event, &mut actuator),
                Message::Remembered { reporter, reports, place } => {
                    self.apply(Event::Remembered { reporter, reports }, &mut actuator);
                    drop(place);
                }
                Message::Open { reporter, hello, sender } => {
                    self.senders.insert(reporter, sender);
                    self.apply(Event::Connected { reporter, hello }, &mut actuator);
                }
                // The caller may have stopped waiting for the response.
                Message::Statuses(answer) => drop(answer.send(self.state.statuses())),
                Message::Totals(answer) => drop(answer.send(self.state.totals())),
                Message::Outcomes(revisions, answer) => {
                    let all = revisions.iter().map(|revision| self.state.outcomes(revision));
                    drop(answer.send(all.collect()));
                }
                Message::ColdStarts(revision, answer) => {
                    drop(answer.send(self.state.cold_starts(&revision)));
                }
                Message::Decisions(revision, count, answer) => {
                    drop(answer.send(self.state.decisions(&revision, count)));
                }
                Message::Look(look) => look.answer(&self.state),
                Message::Routes(request) => self.leader.answer(self.clock.now(), request),
            }
            self.leader.observe(self.clock.now(), &self.state);
            if let Some(news) = self.leader.take_news() {
                self.apply(Event::Routes(Arc::new(news)), &mut actuator);
            }
        }
    }

    fn apply(&mut self, event: Event, actuator: &mut impl Actuator) {
        if let Event::Disconnected { reporter } = &event {
            self.senders.remove(reporter);
        }
        let now = self.clock.now();
        for effect in self.state.apply(now, event) {
            self.carry_out(effect, actuator);
        }
        // A flood of messages must not keep what is due from being done.
        if self.state.next_due().is_some_and(|due| due <= now) {
            for effect in self.state.apply(now, Event::Due) {
                self.carry_out(effect, actuator);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, actuator: &mut impl Actuator) {
        match effect {
            Effect::Start { revision, instance, launch } => {
                actuator.start(revision, instance, launch);
            }
            Effect::Adopt { revision, instance, launch, kept } => {
                actuator.adopt(revision, instance, launch, *kept);
            }
            Effect::Stop { instance, mode } => actuator.stop(&instance, mode),
            Effect::Freeze { instance } => actuator.freeze(&instance),
            Effect::Thaw { instance } => actuator.thaw(&instance),
            Effect::Send { reporter, message } => {
                if let Some(sender) = self.senders.get(&reporter) {
                    sender.send(message);
                }
            }
            Effect::Refuse { reporter, refusal } => {
                tracing::warn!(reporter = reporter.0, reason = %refusal, "a stream was refused");
                self.metrics.refused(&refusal);
                if let Some(stream) = self.senders.remove(&reporter) {
                    stream.end(Err(refusal.into()));
                }
            }
            Effect::Decided(record) => {
                self.metrics.decisions.increment(1);
                // There may be no watcher.
                drop(self.decisions.send(record));
            }
            Effect::Announce(notice) => drop(self.notices.send(notice)),
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
