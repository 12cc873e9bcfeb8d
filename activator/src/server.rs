//! The life of an activator: bind, serve, drain.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_proto::stats::v1::{Hello, Role};
use tidegate_relay::{Drain, Phase, memory};
use tidegate_reporter::clock::now_unix_ms;
use tidegate_reporter::{Directives, Endpoint, EndpointMap, Inbox, RevisionName};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::config::{Carries, Config, ConfigError, FrontDoors};
use crate::door::{Door, Doors};
use crate::handler::ActivatorHandler;
use crate::knative_autoscaler::KnativeAutoscaler;
use crate::listeners::{Addresses, Entrance, Sockets};
use crate::metrics::Metrics;
use crate::mirror::Mirrors;
use crate::naming::Naming;
use crate::outcomes::OutcomeCounter;
use crate::overflow::Fallbacks;
use crate::queueing::Queueing;
use crate::reports::{self, Listeners};
use crate::revision_ports::RevisionPorts;
use crate::revision_throttler::{
    CreditSettings, RevisionThrottler, ThrottlerSettings, parse_address,
};
use crate::routing::Routes;
use crate::tcp_port;
use crate::throttler::Throttler;
use crate::waiting_totals::WaitingTotals;

/// Stats kept while the controller is away: an hour of 64 revisions, or a minute of thousands.
const HISTORY_CAPACITY: usize = 64 * 3_600;

/// How often connections are checked for having been idle for too long.
const EXPIRY_CHECK_PERIOD: Duration = Duration::from_secs(10);

/// An activator that is bound and does not serve yet.
#[derive(Debug)]
pub struct Activator {
    config: Config,
    sockets: Sockets,
    reporting: Vec<tidegate_reporter::Config>,
}

impl Activator {
    /// Checks the configuration and binds the listener. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used, or the address cannot be listened on.
    pub fn bind(config: Config) -> Result<Self, ConfigError> {
        let address = config.listen;
        let listen = |source| ConfigError::Listen { address, source };
        let listener = tidegate_relay::listen(address).map_err(listen)?;
        Self::with_listener(config, listener)
    }

    /// Like [`Activator::bind`], on a listener that is bound already.
    ///
    /// # Errors
    ///
    /// When the configuration cannot be used, or the listener cannot be.
    pub fn with_listener(
        config: Config,
        listener: std::net::TcpListener,
    ) -> Result<Self, ConfigError> {
        if config.controller.is_none() && config.endpoints.is_empty() {
            return Err(ConfigError::NowhereToSend);
        }
        for (_, endpoint) in &config.endpoints {
            if parse_address(&endpoint.address).is_none() {
                return Err(ConfigError::Endpoint(endpoint.address.clone()));
            }
        }
        let reporting = config.controller.as_deref().map(|controller| {
            let hello = Hello {
                role: Role::Activator.into(),
                instance: config.name.clone(),
                start_unix_ms: now_unix_ms(),
                max_waiting: config.dispatch.max_waiting,
                ..Hello::default()
            };
            let credentials = &config.credentials;
            tidegate_reporter::Config::for_each_shard(controller, credentials, &hello)
        });
        let mut reporting = reporting.transpose()?.unwrap_or_default();
        // Each shard has a part of the revisions.
        let history_capacity = HISTORY_CAPACITY / reporting.len().max(1);
        for reporting in &mut reporting {
            reporting.history_capacity = history_capacity;
            reporting.metrics = config.metrics.reporter();
        }
        let sockets = Sockets::bind(&config, listener)?;
        Ok(Self { config, sockets, reporting })
    }

    /// Where it listens for HTTP.
    pub fn address(&self) -> SocketAddr {
        self.sockets.addresses().http
    }

    /// Begins to serve, in tasks of the current runtime.
    pub fn spawn(self) -> Running {
        let Self { config, sockets, reporting } = self;
        let addresses = sockets.addresses().clone();
        memory::set_budget(config.memory_budget_bytes);
        let throttler = Arc::new(throttler(&config));
        let configured = by_revision(config.endpoints);
        throttler.set_endpoints(&configured);
        let (drain, closed) = (Drain::new(), Arc::new(OnceLock::new()));
        let outcomes = Arc::new(OutcomeCounter::default());
        let routes = Arc::new(Routes::of(config.routes));
        let naming = Arc::new(Naming::by(reporting.len(), &config.dispatch));
        let fallbacks = Fallbacks::new(&config.overflow.fallbacks);
        let queueing = Arc::new(Queueing {
            limits: config.limits,
            first_byte_timeout: config.first_byte_timeout,
            overflow: config.overflow,
            fallbacks: fallbacks.clone(),
        });
        let handler = ActivatorHandler {
            throttler: Arc::clone(&throttler),
            routes: Arc::clone(&routes),
            naming: Arc::clone(&naming),
            mirrors: Mirrors::new(config.server, config.metrics.clone()),
            revision: None,
            route: None,
            queueing,
            abandoned: config.abandoned,
            drain: drain.clone(),
            outcomes: Arc::clone(&outcomes),
            metrics: config.metrics.clone(),
            server_timing: config.server_timing,
            closed: Arc::clone(&closed),
            cause_header: config.server.cause_header,
            sidecar_secret: config.sidecar_secret,
            exit_notice_wait: config.exit_notice_wait,
            requests: config.requests,
        };
        let places = tcp_port::places();
        let bounds = (config.server, config.dispatch);
        let at = (addresses.http.ip(), Arc::clone(&places));
        let ports = RevisionPorts::new(handler.clone(), bounds, at);
        let doors = Doors::new(&handler, (config.server, &config.balancers, &places));
        let entrance = Entrance { settings: config.server, balancers: config.balancers, places };
        let mut tasks = JoinSet::new();
        sockets.serve(handler, entrance, &mut tasks);
        let knative = config.knative_autoscaler.map(|address| {
            KnativeAutoscaler::start(&address, &config.name, config.metrics.clone(), &mut tasks)
        });
        if let (true, Some(knative)) = (reporting.is_empty(), &knative) {
            tasks.spawn(reports::report_to_knative(throttler.all(), knative.clone()));
        }
        tasks.spawn(close_expired_connections(Arc::clone(&throttler), fallbacks));
        let driver = (!reporting.is_empty()).then(|| {
            let (reporter, inbox, driver) = tidegate_reporter::shards::start_all(reporting);
            let listeners = Listeners { controller: Some(reporter), knative };
            naming.hear_all(inbox.each, &mut tasks);
            let inbox = inbox.all;
            let directives = inbox.directives.clone();
            tasks.spawn(ports.follow(inbox.ports.clone()));
            tasks.spawn(Arc::clone(&routes).follow(inbox.routes.clone()));
            tasks.spawn(apply_endpoints(Arc::clone(&throttler), listeners, inbox));
            (tokio::spawn(driver.run()), directives)
        });
        let (driver, directives) = driver.unzip();
        // With configured instances it is ready before the controller names any.
        let directives = directives.filter(|_| configured.is_empty());
        let observer = Observer { throttler, drain, outcomes, metrics: config.metrics, directives };
        Running { addresses, observer, routes, closed, doors, tasks, driver }
    }
}

/// The revisions that are known at first, as they are configured.
fn throttler(config: &Config) -> Throttler {
    let settings = ThrottlerSettings {
        dispatch: config.dispatch,
        keys: Arc::new(config.keys.clone()),
        slow_start: config.slow_start,
        retry_permille: config.retry_permille,
        hedges: config.hedges,
        outliers: config.outliers,
        credits: match config.front_doors {
            FrontDoors::Several => config.sidecar_secret.clone().map(CreditSettings::new),
            FrontDoors::Alone => None,
        },
        totals: WaitingTotals::new(config.waiting_bounds),
    };
    let throttler = Throttler::new(settings, config.default_revision.clone());
    for revision in &config.revisions {
        throttler.register(revision);
    }
    throttler
}

fn by_revision(endpoints: Vec<(RevisionName, Endpoint)>) -> EndpointMap {
    let mut by_revision = EndpointMap::new();
    for (revision, endpoint) in endpoints {
        by_revision.entry(revision).or_default().push(endpoint);
    }
    by_revision
}

/// An activator that serves. Dropping it stops accepting and reporting at once; connections that
/// are open go on until they end.
pub struct Running {
    addresses: Addresses,
    observer: Observer,
    routes: Arc<Routes>,
    closed: Arc<OnceLock<String>>,
    doors: Doors,
    tasks: JoinSet<()>,
    driver: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Reads the state of an activator. Cheap to clone; outlives the activator.
#[derive(Clone)]
pub struct Observer {
    throttler: Arc<Throttler>,
    drain: Drain,
    outcomes: Arc<OutcomeCounter>,
    metrics: Metrics,
    /// The controller's directives, where there is no instance before they arrive.
    directives: Option<watch::Receiver<Directives>>,
}

/// Why an activator should not be sent requests now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It has no configured instances and the controller has not named any.
    #[error("the controller has not been reached yet")]
    NoDirectives,
    /// It drains.
    #[error("shutting down")]
    Draining,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Brings the metrics up to date; call it before they are read.
    pub fn refresh(&self) {
        let revisions: Vec<_> =
            self.throttler.all().iter().map(|revision| revision.status()).collect();
        let refused = self.throttler.refused();
        let forgotten = self.throttler.forgotten();
        let connections = self.drain.connections();
        let known = (&revisions[..], &forgotten);
        self.metrics.refresh(known, refused, &self.outcomes.snapshot(), connections);
    }

    /// Whether requests may be sent to it. Losing the controller later changes nothing: its last
    /// directives hold, and requests flow.
    ///
    /// # Errors
    ///
    /// Why they should not be.
    pub fn readiness(&self) -> Result<(), Unready> {
        if self.drain.phase() != Phase::Serving {
            return Err(Unready::Draining);
        }
        match &self.directives {
            Some(directives) if *directives.borrow() == Directives::default() => {
                Err(Unready::NoDirectives)
            }
            _ => Ok(()),
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request got its response.
    Whole,
    /// The deadline came first.
    CutShort {
        /// Connections that had not closed.
        connections: usize,
        /// Requests whose clients had left and whose instances still worked on them.
        abandoned: u64,
    },
}

impl Running {
    /// Where it listens for HTTP.
    pub fn address(&self) -> SocketAddr {
        self.addresses.http
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// How the memory budget of this process stands, and how often it was used up.
    pub fn memory(&self) -> memory::Usage {
        memory::usage()
    }

    /// The revisions that it knows.
    pub fn throttler(&self) -> &Arc<Throttler> {
        &self.observer.throttler
    }

    /// Where its requests go, which can be changed while it serves.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Listens at a further address, whose clients take `route`. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses the listener.
    pub fn open_door(
        &self,
        listener: std::net::TcpListener,
        route: &str,
        carries: Carries,
    ) -> io::Result<Door> {
        self.doors.open(listener, route, carries)
    }

    /// The outcomes of its requests.
    pub fn outcomes(&self) -> &Arc<OutcomeCounter> {
        &self.observer.outcomes
    }

    /// Reads its state, also while it drains.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// There will be no instance, because of `reason`: requests that wait, and those that still
    /// arrive, are refused with it.
    pub fn give_up(&self, reason: String) {
        // The first reason stays.
        let _ = self.closed.set(reason);
        for revision in self.observer.throttler.all() {
            revision.refuse_waiting();
        }
    }

    /// Asks clients to connect elsewhere, but still serves all of them: health probes fail,
    /// responses carry `Connection: close`, HTTP/2 connections get their GOAWAY.
    pub fn announce_shutdown(&self) {
        self.observer.drain.set_phase(Phase::Draining);
    }

    /// Accepts no more, closes idle connections, and waits until every request has its
    /// response, at most for `longest`. The last numbers are reported before it returns.
    pub async fn drain(mut self, longest: Duration) -> Drained {
        self.observer.drain.set_phase(Phase::Closing);
        let by = Instant::now() + longest;
        let responded = timeout_at(by, self.observer.drain.until_empty()).await.is_ok();
        let connections = if responded { 0 } else { self.observer.drain.connections() };
        // Instances may still work on requests whose clients have gone: they get the same time for
        // it. What they do not finish in it no client waits for.
        let abandoned = async {
            for revision in self.observer.throttler.all() {
                revision.empty().await;
            }
        };
        let whole = timeout_at(by, abandoned).await.is_ok() && responded;
        let abandoned = self.observer.throttler.all().iter().map(|r| r.status().abandoned).sum();
        self.tasks.shutdown().await;
        if let Some(mut driver) = self.driver.take() {
            // With the last reporter dropped the driver sends what is left and ends.
            if tokio::time::timeout(FINAL_REPORT_TIMEOUT, &mut driver).await.is_err() {
                driver.abort();
            }
        }
        if whole { Drained::Whole } else { Drained::CutShort { connections, abandoned } }
    }
}

/// How long the last reports may take to be sent.
const FINAL_REPORT_TIMEOUT: Duration = Duration::from_millis(500);

impl Drop for Running {
    fn drop(&mut self) {
        self.observer.drain.set_phase(Phase::Closing);
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Applies the controller's endpoints and bounds to the throttlers, and starts a report for each
/// revision.
async fn apply_endpoints(throttler: Arc<Throttler>, listeners: Listeners, mut inbox: Inbox) {
    let mut reporting = JoinSet::new();
    let mut reports = BTreeMap::new();
    let directives = inbox.directives.clone();
    let report = |reporting: &mut JoinSet<()>, revision: Arc<RevisionThrottler>| {
        let name = revision.revision().clone();
        let report = reports::report(revision, listeners.clone(), directives.clone());
        (name, reporting.spawn(report))
    };
    reports.extend(throttler.all().into_iter().map(|revision| report(&mut reporting, revision)));
    let (mut named, mut followed) = (BTreeSet::new(), None);
    loop {
        let changed = tokio::select! {
            changed = inbox.endpoints.changed() => changed,
            changed = inbox.holds.changed() => changed,
            changed = inbox.queues.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        // Cloned, because the throttlers take locks and the borrow must not last that long.
        let endpoints = inbox.endpoints.borrow_and_update().clone();
        let holds = inbox.holds.borrow_and_update().clone();
        let queues = inbox.queues.borrow_and_update().clone();
        let starts = inbox.starts.borrow_and_update().clone();
        for revision in named.iter().filter(|revision| !endpoints.contains_key(*revision)) {
            throttler.forget(revision);
            // The default one is known for as long as this runs.
            if throttler.of(revision).is_none()
                && let Some(report) = reports.remove(revision)
            {
                report.abort();
            }
        }
        while reporting.try_join_next().is_some() {}
        throttler.set_starts(starts);
        throttler.set_endpoints(&endpoints);
        // New ones, and those that were known before the controller named them.
        let silent: Vec<_> = endpoints.keys().filter(|of| !reports.contains_key(*of)).collect();
        let silent = silent.into_iter().filter_map(|of| throttler.of(of));
        reports.extend(silent.map(|revision| report(&mut reporting, revision)));
        let before = std::mem::replace(&mut named, endpoints.into_keys().collect());
        throttler.set_hold_bounds(&holds);
        // Said again only to those that are new: rules that cannot be followed are told each time.
        if before != named || followed.as_ref() != Some(&queues) {
            throttler.set_queue_rules(&queues);
            followed = Some(queues);
        }
    }
}

async fn close_expired_connections(throttler: Arc<Throttler>, fallbacks: Fallbacks) {
    let mut ticks = tokio::time::interval(EXPIRY_CHECK_PERIOD);
    let mut refusals = 0;
    loop {
        ticks.tick().await;
        let memory = memory::usage();
        if memory.refusals > refusals {
            let refused = memory.refusals - refusals;
            tracing::warn!(refused, budget_bytes = memory.budget_bytes, "memory budget used up");
            refusals = memory.refusals;
        }
        for revision in throttler.all() {
            revision.close_expired();
        }
        fallbacks.close_expired();
    }
}
