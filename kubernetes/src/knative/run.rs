//! The controller of PodAutoscalers as a service: relay, hold the Lease, watch, decide, act.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tidegate_autoscaler::{Improvements, Timestamp};
use tidegate_controller::Clock;
use tidegate_kubernetes_objects::store::ObjectKey;
use tidegate_kubernetes_podautoscaler::effect::{Action, ActionStep, Effect};
use tidegate_kubernetes_podautoscaler::reconciler::{Event, Reconciler};
use tidegate_kubernetes_podautoscaler::request::PatchKind;
use tidegate_kubernetes_podautoscaler::settings::ClusterSettings;
use tidegate_kubernetes_podautoscaler::statistics;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::happened::Happened;
use super::metrics::Metrics;
pub use super::peers::Peers;
use super::pod_listeners::PodListeners;
use super::scraper::PodClient;
use super::statistics_relay::Message;
use super::{peers, statistics_relay, watches};
use crate::cluster::Cluster;
use crate::dispatch::{Dispatched, Dispatcher, Outcome};
use crate::leader;
use crate::reconciler::Response;
use crate::request::{APPLY_PATCH, ApiRequest, MERGE_PATCH, Method};
use crate::run::{BATCH_MAX, EVENTS_MAX, RunError, Term, chance, sleep_until};

/// The Lease that the deciding one holds.
pub const LEASE: &str = "tidegate-knative";

/// Messages of activators that may wait to be taken in; those beyond are lost to us.
const MESSAGES_MAX: usize = 4_096;

/// What the controller is configured with.
pub struct Config {
    /// The client of the API server. It should not send a request again by itself.
    pub client: kube::Client,
    /// The namespace of Knative Serving, of its ConfigMaps and of our Lease.
    pub serving_namespace: String,
    /// Our name: unique among the controllers of this cluster.
    pub name: String,
    /// Where Knative's activators connect.
    pub statistics: SocketAddr,
    /// Knative's autoscaler, to which everything goes on: a host and a port.
    pub autoscaler: String,
    /// Where the others of us pass on what they hear, and where they are; `None` for one alone.
    pub peers: Option<(SocketAddr, Peers)>,
    /// Where decisions differ from those of Knative's own class.
    pub improvements: Improvements,
    /// What is counted.
    pub metrics: Metrics,
}

/// Relays until `stop`, and decides and acts while that is ours to do.
///
/// # Errors
/// Why it had to end.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let clock = Clock::start();
    let (heard, messages) = mpsc::channel(MESSAGES_MAX);
    let mut parts = relay(&config, heard)?;
    let cluster = Cluster { client: config.client.clone() };
    let (leading, mut leads) = watch::channel(None);
    let (release, released) = tokio::sync::oneshot::channel();
    let place = (config.serving_namespace.clone(), LEASE, config.name.clone());
    let holding = leader::hold(cluster.clone(), place, move || clock.now(), leading, released);
    let mut holding = tokio::spawn(holding);
    let mut stop = std::pin::pin!(stop);
    let deciding = async {
        let mut messages = messages;
        loop {
            tokio::select! {
                led = leads.wait_for(|until| until.is_some()) => {
                    if led.is_ok() { break }
                }
                // Only the one that decides has windows to put it into.
                _ = messages.recv() => {}
                () = &mut stop => return Ok(()),
            }
        }
        let term = Term { clock, until: leads };
        decide(&config, cluster, (messages, term), stop).await
    };
    tokio::select! {
        ended = deciding => ended?,
        _ = &mut holding => return Err(RunError::LeaseLost),
        Some(ended) = parts.join_next() => {
            return Err(RunError::PartEnded(ended.unwrap_or("a part that failed")));
        }
    }
    // Nothing that we have begun is under way any more: whoever holds the Lease next acts alone.
    if release.send(()).is_ok() {
        let _ = holding.await;
    }
    Ok(())
}

/// Begins to relay. Whether we decide or not, Knative's own class depends on it.
fn relay(config: &Config, heard: mpsc::Sender<Message>) -> Result<JoinSet<&'static str>, RunError> {
    let listen = |address: SocketAddr| {
        let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
        listener.map_err(|source| RunError::Listen { address, source })
    };
    let metrics = &config.metrics;
    let mut parts = JoinSet::new();
    let (ours, to_tell) = mpsc::channel(MESSAGES_MAX);
    let relaying = statistics_relay::serve(
        listen(config.statistics)?,
        config.autoscaler.clone(),
        ours,
        metrics.clone(),
    );
    parts.spawn(async move {
        relaying.await;
        "the relay of statistics"
    });
    let others = config.peers.as_ref().map(|(_, peers)| peers.clone());
    let telling = peers::tell(to_tell, heard.clone(), others, metrics.clone());
    parts.spawn(async move {
        telling.await;
        "the word to peers"
    });
    if let Some((address, _)) = &config.peers {
        let hearing = peers::serve(listen(*address)?, heard, metrics.clone());
        parts.spawn(async move {
            hearing.await;
            "the ear for peers"
        });
    }
    tracing::info!(address = %config.statistics, autoscaler = config.autoscaler, "relaying");
    Ok(parts)
}

/// Watches, decides and acts for as long as it is polled.
async fn decide(
    config: &Config,
    cluster: Cluster,
    (messages, term): (mpsc::Receiver<Message>, Term),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let (events, incoming) = mpsc::channel(EVENTS_MAX);
    let mut parts = JoinSet::new();
    for watched in watches::all(&config.client, &config.serving_namespace, &events) {
        parts.spawn(async move {
            watched.await;
            "a watch"
        });
    }
    let metrics = config.metrics.clone();
    let state = Controller {
        reconciler: Reconciler::new(ClusterSettings::shipped(config.improvements)),
        executor: Executor {
            cluster,
            pods: PodClient::new(metrics.clone()),
            listeners: PodListeners::new(events, metrics.clone()),
            under_way: JoinSet::new(),
        },
        dispatcher: Dispatcher::default(),
        pending: BTreeMap::new(),
        metrics,
    };
    tokio::select! {
        ended = state.act(incoming, messages, term, stop) => ended,
        Some(ended) = parts.join_next() => {
            Err(RunError::PartEnded(ended.unwrap_or("a part that failed")))
        }
    }
}

/// Identifies actions that exclude each other: for which revision they do what.
type ActionKey = (ObjectKey, &'static str);

impl Dispatched for Action {
    type Key = ActionKey;

    fn key(&self) -> ActionKey {
        let what = match self.step {
            ActionStep::Scale { from: 0, .. } => "wake",
            ActionStep::Scale { .. } => "scale",
            ActionStep::Service => "service",
            ActionStep::Metric => "metric",
            ActionStep::Status => "status",
        };
        (self.revision.clone(), what)
    }

    fn urgency(&self) -> u8 {
        match self.step {
            ActionStep::Scale { from: 0, .. } => 0,
            ActionStep::Scale { from, to, .. } if to > from => 1,
            ActionStep::Service => 2,
            ActionStep::Scale { .. } => 3,
            ActionStep::Metric | ActionStep::Status => 4,
        }
    }
}

struct Controller {
    reconciler: Reconciler,
    executor: Executor,
    dispatcher: Dispatcher<ActionKey>,
    /// What is to be done and has not begun, in order of urgency.
    pending: BTreeMap<(u8, ActionKey), Action>,
    metrics: Metrics,
}

impl Controller {
    /// Takes in what happens, and has carried out what is to be done. After `stop` it only waits
    /// for what is under way.
    async fn act(
        mut self,
        mut incoming: mpsc::Receiver<Happened>,
        mut messages: mpsc::Receiver<Message>,
        term: Term,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let clock = term.clock;
        let mut stop = std::pin::pin!(stop);
        let mut due = None;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                read = incoming.recv_many(&mut batch, BATCH_MAX) => if read == 0 {
                    return Err(RunError::PartEnded("every watch"));
                },
                Some(message) = messages.recv() => batch.extend(self.read(&message)),
                Some(ended) = self.executor.under_way.join_next() => batch.extend(ended),
                () = sleep_until(due.map(|at| clock.instant(at))) => {}
                () = &mut stop => {
                    while self.executor.under_way.join_next().await.is_some() {}
                    return Ok(());
                }
            }
            while let Some(ended) = self.executor.under_way.try_join_next() {
                batch.extend(ended);
            }
            while batch.len() < BATCH_MAX
                && let Ok(message) = messages.try_recv()
            {
                batch.extend(self.read(&message));
            }
            while batch.len() < BATCH_MAX
                && let Ok(happened) = incoming.try_recv()
            {
                batch.push(happened);
            }
            let now = clock.now();
            for happened in batch {
                self.take_in(now, happened);
            }
            if term.is_over() {
                return Err(RunError::LeaseLost);
            }
            due = self.carry_on(now);
        }
    }

    fn read(&self, message: &[u8]) -> Option<Happened> {
        match statistics::reports(message) {
            Ok(reports) => Some(Happened::Event(Box::new(Event::Reports(reports)))),
            Err(error) => {
                self.metrics.lost_unreadable.increment(1);
                tracing::debug!(%error, "a message of an activator cannot be read");
                None
            }
        }
    }

    fn take_in(&mut self, now: Timestamp, happened: Happened) {
        let event = match happened {
            Happened::Event(event) => *event,
            Happened::Ended(action, response) => self.ended(now, action, response),
        };
        for effect in self.reconciler.apply(now, event) {
            self.carry_out(effect);
        }
    }

    fn ended(&mut self, now: Timestamp, action: Box<Action>, response: Response) -> Event {
        let (outcome, object) = match response {
            Response::Done(object) => (Outcome::Done, Some(object)),
            Response::Conflict => (Outcome::Outdated, None),
            Response::NotFound => (Outcome::Failed { wait_ms: 0 }, None),
            Response::Failed { why, wait_ms } => {
                let (revision, step) = (&action.revision, &action.step);
                tracing::warn!(%revision, ?step, why, "a request has failed");
                (Outcome::Failed { wait_ms }, None)
            }
        };
        self.dispatcher.ended(now, &*action, outcome, chance());
        match object {
            Some(object) => {
                self.metrics.requests_done.increment(1);
                Event::Done(action, object)
            }
            None => {
                self.metrics.requests_failed.increment(1);
                Event::LookAgain(action.revision)
            }
        }
    }

    /// Has everything begun that may begin now. Returns when to go on if nothing happens before.
    fn carry_on(&mut self, now: Timestamp) -> Option<Timestamp> {
        let looked = self.reconciler.reconcile(now);
        for revision in &looked.revisions {
            self.pending.retain(|(_, (of, _)), _| of != revision);
        }
        for effect in looked.effects {
            self.carry_out(effect);
        }
        self.dispatcher.tidy(now);
        let begins = |action: &Action| self.dispatcher.begins(now, action);
        let begun = extract(&mut self.pending, begins);
        for action in begun {
            self.executor.send(action);
        }
        self.metrics.revisions.set(self.reconciler.revisions() as f64);
        let again = if self.pending.is_empty() { None } else { self.dispatcher.due(now) };
        [looked.due, again].into_iter().flatten().min()
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send(action) => {
                self.pending.insert((action.urgency(), action.key()), action);
            }
            Effect::Scrape(order) => {
                let pods = self.executor.pods.clone();
                self.executor.under_way.spawn(async move {
                    let revision = order.revision.clone();
                    let responses = pods.scrape(order).await;
                    Happened::Event(Box::new(Event::Scraped(revision, responses)))
                });
            }
            Effect::Listen(order) => self.executor.listeners.obey(&order),
            Effect::Probe(order) => {
                let pods = self.executor.pods.clone();
                self.executor.under_way.spawn(async move {
                    let found = pods.probe(&order).await;
                    Happened::Event(Box::new(Event::Probed(order.revision, found)))
                });
            }
            Effect::Note(about, what) => tracing::warn!(%about, "{what}"),
        }
    }
}

/// Takes out what begins now.
fn extract(
    pending: &mut BTreeMap<(u8, ActionKey), Action>,
    mut begins: impl FnMut(&Action) -> bool,
) -> Vec<Action> {
    let begun: Vec<(u8, ActionKey)> = pending
        .iter()
        .filter(|(_, action)| begins(action))
        .map(|(place, _)| place.clone())
        .collect();
    begun.iter().filter_map(|place| pending.remove(place)).collect()
}

/// What carries out effects.
struct Executor {
    cluster: Cluster,
    pods: PodClient,
    listeners: PodListeners,
    under_way: JoinSet<Happened>,
}

impl Executor {
    fn send(&mut self, action: Action) {
        let cluster = self.cluster.clone();
        let (revision, reason) = (&action.revision, &action.reason);
        match &action.step {
            ActionStep::Scale { from, to, .. } => {
                tracing::info!(%revision, from, to, reason, "scaling");
            }
            step => tracing::debug!(%revision, ?step, reason, "writing"),
        }
        self.under_way.spawn(async move {
            let response = cluster.send(&request(&action)).await;
            Happened::Ended(Box::new(action), response)
        });
    }
}

fn request(action: &Action) -> ApiRequest {
    let content_type = match action.patch.kind {
        PatchKind::Merge => MERGE_PATCH,
        PatchKind::Apply => APPLY_PATCH,
    };
    let body: Value = action.patch.body.clone();
    let path = action.patch.path.clone();
    ApiRequest { method: Method::Patch, path, content_type: Some(content_type), body }
}
