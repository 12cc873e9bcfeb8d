//! The life of an activator: bind, serve, drain.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_proto::stats::v1::{Hello, Role};
use tidegate_relay::{Drain, Phase, Server, memory};
use tidegate_reporter::{Directives, EndpointMap, Inbox, Reporter};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::config::{Config, ConfigError};
use crate::handler::ActivatorHandler;
use crate::metrics::Metrics;
use crate::reports;
use crate::revision_throttler::{RevisionThrottler, parse_address};
use crate::tally::Tally;
use crate::throttler::Throttler;

/// Stats kept while the controller is away: an hour of 64 revisions, or a minute of thousands.
const HISTORY_CAPACITY: usize = 64 * 3_600;

/// How often connections that were idle for too long are closed.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// An activator that is bound and does not serve yet.
#[derive(Debug)]
pub struct Activator {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    reporting: Option<tidegate_reporter::Config>,
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
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
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
                start_unix_ms: reports::now_unix_ms(),
                max_waiting: config.dispatch.max_waiting,
                ..Hello::default()
            };
            tidegate_reporter::Config::new(controller, &config.credentials, hello)
        });
        let mut reporting = reporting.transpose()?;
        if let Some(reporting) = &mut reporting {
            reporting.history_capacity = HISTORY_CAPACITY;
            reporting.metrics = config.metrics.reporter();
        }
        let listen = |source| ConfigError::Listen { address: config.listen, source };
        listener.set_nonblocking(true).map_err(listen)?;
        let listener = TcpListener::from_std(listener).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { config, listener, address, reporting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Begins to serve, in tasks of the current runtime.
    pub fn spawn(self) -> Running {
        let Self { config, listener, address, reporting } = self;
        memory::set_budget(config.memory_budget_bytes);
        let doors = Arc::new(Throttler::new(config.dispatch, config.default_revision));
        let mut given = EndpointMap::new();
        for (revision, endpoint) in config.endpoints {
            given.entry(revision).or_default().push(endpoint);
        }
        doors.set_endpoints(&given);
        let drain = Drain::new();
        let tally = Arc::new(Tally::default());
        let closed = Arc::new(OnceLock::new());
        let passing = ActivatorHandler {
            doors: Arc::clone(&doors),
            limits: config.limits,
            abandoned: config.abandoned,
            drain: drain.clone(),
            tally: Arc::clone(&tally),
            metrics: config.metrics.clone(),
            closed: Arc::clone(&closed),
            sidecar_secret: config.sidecar_secret,
            obituary_wait: config.obituary_wait,
        };
        let server = Server::new(passing, config.server, drain.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.serve_listener(listener).await });
        tasks.spawn(tidy(Arc::clone(&doors)));
        let driver = reporting.map(|reporting| {
            let (reporter, inbox, driver) = tidegate_reporter::start(reporting);
            let said = inbox.directives.clone();
            tasks.spawn(follow(Arc::clone(&doors), reporter, inbox));
            (tokio::spawn(driver.run()), said)
        });
        let (driver, said) = driver.unzip();
        // With instances of its own it need not wait to be told of any.
        let said = said.filter(|_| given.is_empty());
        let observer = Observer { doors, drain, tally, metrics: config.metrics, said };
        Running { address, observer, closed, tasks, driver }
    }
}

/// An activator that serves. Dropping it stops accepting and reporting at once; connections that
/// are open go on until they end.
pub struct Running {
    address: SocketAddr,
    observer: Observer,
    closed: Arc<OnceLock<String>>,
    tasks: JoinSet<()>,
    driver: Option<JoinHandle<()>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Looks at an activator for whoever asks how it is. Cheap to clone; outlives what it looks at.
#[derive(Clone)]
pub struct Observer {
    doors: Arc<Throttler>,
    drain: Drain,
    tally: Arc<Tally>,
    metrics: Metrics,
    /// What the controller said, where there is nothing to do before it has.
    said: Option<watch::Receiver<Directives>>,
}

/// Why an activator should not be sent requests now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unready {
    /// It has no instances of its own and has not heard of any.
    #[error("the controller has not been reached yet")]
    NothingHeard,
    /// It is on its way out.
    #[error("shutting down")]
    Draining,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Brings the metrics up to date; for whoever is about to read them.
    pub fn refresh(&self) {
        let doors: Vec<_> = self.doors.all().iter().map(|door| door.status()).collect();
        let refused = self.doors.refused();
        let connections = self.drain.connections();
        self.metrics.refresh(&doors, refused, &self.tally.outcomes(), connections);
    }

    /// Whether requests may be sent to it. A controller that is lost again changes nothing: what it
    /// said last holds, and requests flow.
    ///
    /// # Errors
    ///
    /// Why they should not be.
    pub fn readiness(&self) -> Result<(), Unready> {
        if self.drain.phase() != Phase::Serving {
            return Err(Unready::Draining);
        }
        match &self.said {
            Some(said) if *said.borrow() == Directives::default() => Err(Unready::NothingHeard),
            _ => Ok(()),
        }
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Whole,
    /// The deadline came first; this many connections were still open.
    CutShort {
        /// Connections that had not closed.
        connections: usize,
    },
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How the memory budget of this process stands, and how often it was used up.
    pub fn memory(&self) -> memory::Usage {
        memory::usage()
    }

    /// The revisions it knows, to look at.
    pub fn doors(&self) -> &Arc<Throttler> {
        &self.observer.doors
    }

    /// What became of the requests.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.observer.tally
    }

    /// Looks at it, also while it drains.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// There will be no instance, because of `reason`: whoever waits for one is told so, and
    /// whoever still comes.
    pub fn give_up(&self, reason: String) {
        // It is given up once.
        let _ = self.closed.set(reason);
        for door in self.observer.doors.all() {
            door.send_away();
        }
    }

    /// Asks clients to go elsewhere, but still serves all of them: health probes fail, answers say
    /// `Connection: close`, HTTP/2 connections get their GOAWAY.
    pub fn announce_shutdown(&self) {
        self.observer.drain.set_phase(Phase::Draining);
    }

    /// Accepts no more, closes idle connections, and waits until every request is answered, at most
    /// for `longest`. The last numbers are reported before it returns.
    pub async fn drain(mut self, longest: Duration) -> Drained {
        self.observer.drain.set_phase(Phase::Closing);
        let by = Instant::now() + longest;
        let whole = timeout_at(by, self.observer.drain.until_empty()).await.is_ok();
        let connections = self.observer.drain.connections();
        // Instances may still work at what nobody waits for: they get the same time for it. What
        // they do not finish in it was promised to nobody.
        let abandoned = async {
            for door in self.observer.doors.all() {
                door.empty().await;
            }
        };
        let _ = timeout_at(by, abandoned).await;
        self.tasks.shutdown().await;
        if let Some(mut driver) = self.driver.take() {
            // With the last reporter gone the driver sends what is left, if anyone listens.
            if tokio::time::timeout(LAST_WORDS, &mut driver).await.is_err() {
                driver.abort();
            }
        }
        if whole { Drained::Whole } else { Drained::CutShort { connections } }
    }
}

/// How long the last reports may take to be sent.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Drop for Running {
    fn drop(&mut self) {
        self.observer.drain.set_phase(Phase::Closing);
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Keeps the doors to what the controller says, and has each of them reported.
async fn follow(doors: Arc<Throttler>, reporter: Reporter, mut inbox: Inbox) {
    let mut reporting = JoinSet::new();
    let report = |reporting: &mut JoinSet<()>, door: Arc<RevisionThrottler>| {
        reporting.spawn(reports::report(door, reporter.clone(), inbox.directives.clone()));
    };
    for door in doors.all() {
        report(&mut reporting, door);
    }
    while inbox.endpoints.changed().await.is_ok() {
        // Cloned, because the doors take locks and the value must not be held that long.
        let endpoints = inbox.endpoints.borrow_and_update().clone();
        for door in doors.set_endpoints(&endpoints) {
            report(&mut reporting, door);
        }
    }
}

async fn tidy(doors: Arc<Throttler>) {
    let mut ticks = tokio::time::interval(TIDY_EVERY);
    let mut refusals = 0;
    loop {
        ticks.tick().await;
        let memory = memory::usage();
        if memory.refusals > refusals {
            let refused = memory.refusals - refusals;
            tracing::warn!(refused, budget_bytes = memory.budget_bytes, "memory budget used up");
            refusals = memory.refusals;
        }
        for door in doors.all() {
            door.close_expired();
        }
    }
}
