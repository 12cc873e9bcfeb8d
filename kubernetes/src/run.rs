//! The controller as a service: hold the Lease, watch, decide, act.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate_autoscaler::Timestamp;
use tidegate_call::Caller;
use tidegate_controller::{
    Access, Clock, Handle, Metrics, NoActuator, RevisionId, UndeclaredRevisions,
};
use tidegate_kubernetes_adapters::{Published, ScalerName};
use tidegate_kubernetes_objects::names::LEASE;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::adapters::Adapters;
use crate::cluster::Cluster;
use crate::plan::Step;
use crate::port_range::PortRange;
use crate::reconciler::{Effect, Ended, Event, Reconciler, Response};
use crate::recorder::Identity;
use crate::watch::{Scope, Watches};
use crate::world::{ObjectKey, World};
use crate::{decisions, leader};

/// Events that may wait; while they are as many, watches are read more slowly.
pub(crate) const EVENTS_MAX: usize = 4_096;

/// Events that are applied before the next reconciliation.
pub(crate) const BATCH_MAX: usize = 1_024;

/// Announcements in flight at a time; further ones are dropped, since nothing depends on them.
const EVENT_RECORDS_MAX: usize = 32;

/// How long a connection to an activator may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// What the controller is configured with.
pub struct Config {
    /// The client of the API server. It should not retry by itself: the plan may have changed
    /// meanwhile.
    pub client: kube::Client,
    /// The one namespace whose workloads are scaled; all of them when `None`.
    pub namespace: Option<String>,
    /// The namespace of the Lease.
    pub system_namespace: String,
    /// The Service of the activators.
    pub activators: ObjectKey,
    /// The ports of activators that may be assigned.
    pub port_range: PortRange,
    /// Our name: no other controller of this cluster that runs at the same time has it. One that is
    /// started again under its name, as a container of a pod is, goes on with its Lease at once.
    pub name: String,
    /// Where reports and queries are served, once we lead.
    pub listen: SocketAddr,
    /// Who may report and query.
    pub access: Access,
    /// Who calls a view of several sites, once we lead.
    pub caller: Option<Caller>,
    /// Metrics of reports and decisions.
    pub metrics: Metrics,
    /// What is served to other autoscalers, once we decide.
    pub adapters: Adapters,
    /// Gets the decision library once we lead.
    pub decides: watch::Sender<Option<Handle>>,
}

/// Why the controller has ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another controller may decide now.
    #[error("the Lease was lost: another controller may decide now")]
    LeaseLost,
    /// Reports cannot be received.
    #[error("cannot listen on {address} for reports")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// Certificates for the external metrics cannot be made or used.
    #[error("external metrics cannot be served: {0}")]
    Certificates(String),
    /// No certificate can be made for the external metrics.
    #[error("cannot make a certificate for external metrics")]
    Certificate(#[from] tidegate_kubernetes_certificates::Error),
    /// A task that must run for ever has ended.
    #[error("{0} has ended")]
    PartEnded(&'static str),
}

/// Decides and acts until `stop`, or until the Lease is lost. Cancelling it leaves the Lease to
/// expire.
///
/// # Errors
/// Why it had to end.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let clock = Clock::start();
    let cluster = Cluster { client: config.client.clone() };
    let (leading, mut leads) = watch::channel(None);
    let (release, released) = tokio::sync::oneshot::channel();
    let place = (config.system_namespace.clone(), LEASE, config.name.clone());
    let holding = leader::hold(cluster.clone(), place, move || clock.now(), leading, released);
    let mut holding = tokio::spawn(holding);
    let mut stop = std::pin::pin!(stop);
    let deciding = async {
        let we_lead = async { leads.wait_for(|until| until.is_some()).await.is_ok() };
        tokio::select! {
            true = we_lead => {}
            () = &mut stop => return Ok(()),
        }
        decide(config, cluster, Term { clock, until: leads }, stop).await
    };
    tokio::select! {
        ended = deciding => ended?,
        _ = &mut holding => return Err(RunError::LeaseLost),
    }
    // Nothing that we have begun is in flight any more: the next holder of the Lease acts alone.
    if release.send(()).is_ok() {
        let _ = holding.await;
    }
    Ok(())
}

/// For how long we may decide.
#[derive(Clone)]
pub(crate) struct Term {
    pub(crate) clock: Clock,
    pub(crate) until: watch::Receiver<Option<Timestamp>>,
}

impl Term {
    /// A process that was stopped and goes on may find its lease expired before the channel says
    /// so.
    pub(crate) fn is_over(&self) -> bool {
        self.until.borrow().is_none_or(|until| self.clock.now() >= until)
    }
}

/// Watches, decides and acts for as long as it is polled.
async fn decide(
    config: Config,
    cluster: Cluster,
    term: Term,
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let clock = term.clock;
    let (events, incoming) = mpsc::channel(EVENTS_MAX);
    let (handle, owner) =
        tidegate_controller::counted(UndeclaredRevisions::Refuse, config.metrics.clone());
    config.decides.send_replace(Some(handle.clone()));
    let mut parts = JoinSet::new();
    parts.spawn(async move {
        owner.run(NoActuator).await;
        "the decision library"
    });
    let scope = config.namespace.clone().map_or(Scope::All, Scope::One);
    let watches = Watches { cluster: cluster.clone(), scope, events: events.clone() };
    for watched in watches.all(&config.activators) {
        parts.spawn(async move {
            watched.await;
            "a watch"
        });
    }
    let in_force = term.clone();
    let published = Arc::new(Published::new(move || !in_force.is_over()));
    let followed = decisions::follow(
        handle.clone(),
        move || clock.now(),
        events.clone(),
        Arc::clone(&published),
    );
    parts.spawn(async move {
        followed.await;
        "the look at decisions"
    });
    let world = World { port_range: config.port_range, ..World::default() };
    let identity = Identity { instance: config.name.clone() };
    let reconciler = Reconciler::new(world, config.activators.clone(), identity);
    let executor = Executor::new(cluster, (handle, published), watches, &config);
    let acting = act(reconciler, executor, (incoming, term), stop);
    tokio::select! {
        ended = acting => ended,
        Some(ended) = parts.join_next() => {
            Err(RunError::PartEnded(ended.unwrap_or("a part that failed")))
        }
    }
}

/// Applies events and executes the effects. After `stop` it only waits for what is in flight.
async fn act(
    mut reconciler: Reconciler,
    mut executor: Executor,
    (mut incoming, term): (mpsc::Receiver<Event>, Term),
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
            Some(ended) = executor.under_way.join_next() => batch.extend(ended),
            Some(ended) = executor.parts.join_next() => return ended.unwrap_or(Ok(())),
            () = sleep_until(due.map(|at| clock.instant(at))) => {}
            () = &mut stop => {
                while executor.under_way.join_next().await.is_some() {}
                return Ok(());
            }
        }
        // Further pending events are applied as well: one reconciliation serves a burst of them.
        while let Some(ended) = executor.under_way.try_join_next() {
            batch.extend(ended);
        }
        while batch.len() < BATCH_MAX
            && let Ok(event) = incoming.try_recv()
        {
            batch.push(event);
        }
        for event in batch {
            let are_scalers = matches!(&event, Event::Scalers(_));
            for effect in reconciler.apply(clock.now(), event) {
                executor.carry_out(effect).await;
            }
            // Reporters of undeclared revisions would be refused, and retry late.
            if are_scalers && reconciler.world.scalers.is_complete() {
                executor.serve().await?;
            }
        }
        if term.is_over() {
            return Err(RunError::LeaseLost);
        }
        let (effects, next) = reconciler.reconcile(clock.now());
        due = next;
        for effect in effects {
            executor.carry_out(effect).await;
        }
    }
}

/// The revision whose instances become more by a step.
fn raised(step: &Step) -> Option<RevisionId> {
    match step {
        Step::Scale { target, from, to } if to > from => {
            let ObjectKey { namespace, name } = &target.object;
            RevisionId::new(namespace, name).ok()
        }
        _ => None,
    }
}

/// Executes effects.
struct Executor {
    cluster: Cluster,
    handle: Handle,
    /// What other autoscalers are told.
    published: Arc<Published>,
    adapters: Adapters,
    watches: Watches,
    /// Requests and connections whose outcome is an event.
    under_way: JoinSet<Event>,
    event_records: JoinSet<()>,
    /// Tasks that run for as long as we lead.
    parts: JoinSet<Result<(), RunError>>,
    /// The listener, until it is served.
    listen: Option<(SocketAddr, Access)>,
    caller: Option<Caller>,
}

impl Executor {
    fn new(
        cluster: Cluster,
        (handle, published): (Handle, Arc<Published>),
        watches: Watches,
        config: &Config,
    ) -> Self {
        Self {
            cluster,
            handle,
            published,
            adapters: config.adapters.clone(),
            watches,
            under_way: JoinSet::new(),
            event_records: JoinSet::new(),
            parts: JoinSet::new(),
            listen: Some((config.listen, config.access.clone())),
            caller: config.caller.clone(),
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        let cluster = self.cluster.clone();
        match effect {
            Effect::Send(action) => {
                let handle = self.handle.clone();
                self.under_way.spawn(async move {
                    let response = cluster.send(&action.request).await;
                    if let (Some(revision), Response::Done(_)) = (raised(&action.step), &response) {
                        // An error means that the controller has ended, and then we end.
                        let _ = handle
                            .happened(tidegate_controller::Event::Actuated { revision })
                            .await;
                    }
                    let (step, scaler) = (&action.step, &action.scaler);
                    tracing::debug!(%scaler, ?step, ?response, "a request has ended");
                    Event::Ended(Box::new(Ended { action, response, chance: chance() }))
                });
            }
            Effect::RecordEvent(request) => {
                while self.event_records.try_join_next().is_some() {}
                if self.event_records.len() < EVENT_RECORDS_MAX {
                    self.event_records.spawn(async move { drop(cluster.send(&request).await) });
                }
            }
            Effect::Check(address, port) => {
                self.under_way.spawn(async move { check(address, port).await });
            }
            // An error means that the controller has ended, and then we end.
            Effect::Declare(declaration) => drop(self.handle.declare(*declaration).await),
            Effect::Publish(ObjectKey { namespace, name }, said) => {
                self.published.publish(ScalerName { namespace, name }, said);
            }
            Effect::Observe(revisions) => {
                let handle = self.handle.clone();
                self.under_way.spawn(async move {
                    Event::Outcomes(decisions::outcomes(&handle, revisions).await)
                });
            }
            Effect::Undeclare(target) => {
                // What is no name of a revision was never declared.
                if let Ok(id) = RevisionId::new(&target.namespace, &target.name) {
                    let _ = self.handle.undeclare(id).await;
                }
            }
            Effect::Watch(kind) => {
                let watches = self.watches.clone();
                self.parts.spawn(async move {
                    watches.targets(kind).await;
                    Err(RunError::PartEnded("a watch"))
                });
            }
        }
    }

    /// Serves reports and queries, if that has not begun already.
    async fn serve(&mut self) -> Result<(), RunError> {
        let Some((address, access)) = self.listen.take() else { return Ok(()) };
        let listener = tidegate_relay::listen(address).and_then(TcpListener::from_std);
        let listener = listener.map_err(|source| RunError::Listen { address, source })?;
        tracing::info!(%address, "reports come in");
        let handle = self.handle.clone();
        self.parts.spawn(async move {
            let served =
                tidegate_controller::serve(handle, listener, access, std::future::pending()).await;
            drop(served);
            Err(RunError::PartEnded("the service of reports"))
        });
        if let Some(caller) = self.caller.take() {
            let handle = self.handle.clone();
            self.parts.spawn(async move {
                let answer = |stream| {
                    let handle = handle.clone();
                    // A call that breaks off is followed by the next.
                    async move { drop(tidegate_controller::answer(handle, stream).await) }
                };
                caller.run(answer).await;
                Err(RunError::PartEnded("the calls to a view"))
            });
        }
        let adapters = std::mem::take(&mut self.adapters);
        self.parts.spawn(adapters.serve(self.cluster.clone(), Arc::clone(&self.published)));
        Ok(())
    }
}

async fn check(address: IpAddr, port: u16) -> Event {
    let connecting = TcpStream::connect((address, port));
    let connected = tokio::time::timeout(CHECK_TIMEOUT, connecting).await;
    Event::Checked((address, port), matches!(connected, Ok(Ok(_))))
}

/// A random number from 0 to 1: the standard library's hash keys are random.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0);
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

pub(crate) async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
