//! The client side of the report stream: statistics, history, directives, reconnection.
//!
//! A queue-proxy or an activator takes statistics whenever it likes and hands them to a
//! [`Reporter`], which keeps the newest of them in a bounded history and returns at once. A
//! [`Driver`] carries the history to the controller, connects again whenever the stream breaks, and
//! first sends as many seconds of the past as the controller asks for: a restarted controller then
//! decides on full windows. What the controller sends arrives in an [`Inbox`], where the newest
//! message wins.
//!
//! It must never make the data path wait, grow without bound, turn numbers into zeros while no
//! controller listens, or decide anything.
//!
//! Modules in reading order: [`early`] is when a report cannot wait for its turn, [`history`] is
//! what is remembered, by [`clock`], [`driver`] carries it, [`inbox`] is what comes back, with
//! [`starts`] and [`queue_rules`], [`transport`] is one HTTP/2 connection, `first_byte` tells a
//! controller from other peers, [`backoff`] is how long to wait before the next, `attempts` counts
//! them and decides what is logged of them, [`metrics`] is the metrics of the stream. Where the
//! revisions are divided over several controllers, [`shards`] are the streams to all of them, and
//! `merged` is what they send as if one had sent it.
//!
//! ```no_run
//! # async fn example() -> Result<(), tidegate_reporter::ConfigError> {
//! use tidegate_proto::stats::v1::{Hello, Role, Stat};
//! use tidegate_reporter::Credentials;
//! let role = Role::QueueProxy.into();
//! let hello = Hello { role, instance: "web-1".into(), ..Hello::default() };
//! let shown = Credentials::default();
//! let config = tidegate_reporter::Config::new("127.0.0.1:9400", &shown, hello)?;
//! let (reporter, inbox, driver) = tidegate_reporter::start(config);
//! tokio::spawn(driver.run());
//! reporter.report(Stat { average_concurrency: 1.5, ready: true, ..Stat::default() });
//! let interval_ms = inbox.directives.borrow().report_interval_ms;
//! # let _ = interval_ms; Ok(())
//! # }
//! ```

mod attempts;
pub mod backoff;
pub mod clock;
pub mod driver;
pub mod early;
mod first_byte;
pub mod history;
pub mod inbox;
mod merged;
pub mod metrics;
pub mod queue_rules;
pub mod shards;
pub mod starts;
pub mod transport;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_proto::stats::v1::{Hello, Stat};
use tidegate_shards::AddressesError;
use tidegate_telemetry::Counter;
use tokio::sync::mpsc;

pub use backoff::Backoff;
pub use driver::Driver;
pub use early::{QueueWatch, WaitingQueue};
use history::StatHistory;
pub use inbox::{
    Directives, Endpoint, EndpointMap, HoldBounds, HoldBoundsMap, Inbox, Link, ListenPort,
    ListenPorts, OverflowAddresses, PortProtocol, QueueRulesMap, RevisionName, RoutesMessage,
    ServiceMode, StartMap,
};
pub use metrics::Metrics;
pub use shards::{ShardDrivers, ShardInbox, ShardReporter};
pub use starts::{InstanceStart, Starts};
pub use tidegate_admission::{QueueClass, QueueOrder, QueueRules};
pub use tidegate_trust::Credentials;

/// How often to report until a controller asks for something else, as Knative does.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest interval that a controller may ask for: reports are averages, and those of less
/// than a tenth of a second measure chance rather than load.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Seconds of history kept until a controller asks for more or less: Knative's default stable
/// window.
pub const DEFAULT_HISTORY_SECONDS: u32 = 60;

/// Most stats a history holds, whatever a controller asks for: an hour of one instance's seconds.
/// An activator that reports for many revisions raises it with [`Config::history_capacity`].
pub const DEFAULT_HISTORY_CAPACITY: usize = 3_600;

/// Where to report, and the identity to report under.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where a controller may be, at least one.
    controllers: Vec<transport::Target>,
    hello: Hello,
    /// Most stats kept while there is no controller; the oldest are evicted first.
    pub history_capacity: usize,
    /// How long to wait between attempts to connect.
    pub backoff: Backoff,
    /// Metrics of the stream; the default records nothing.
    pub metrics: Metrics,
}

/// Why a [`Config`] was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be used.
    #[error("controller address {given:?} is not understood: {problem}; expected host:port")]
    Address {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The addresses of several shards cannot be told apart.
    #[error("controller addresses {given:?} are not understood: {source}")]
    Shards {
        /// What was given.
        given: String,
        /// What is wrong with it.
        source: AddressesError,
    },
    /// A reporter of many revisions speaks to all shards, and not to one.
    #[error("the addresses are those of several shards, and no revision says which is meant")]
    NoRevision,
    /// Certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] tidegate_trust::TlsError),
    /// The system gives no random numbers for a token.
    #[error(transparent)]
    Token(#[from] tidegate_trust::SecretError),
}

/// Bytes of the token that tells this process from any other of its name: 128 bits, as a UUID has.
const TOKEN_BYTES: usize = 16;

impl Config {
    /// Reports to `controller` (`host:port`, with or without `http://` or `https://`, or several
    /// with commas between, of which the first that takes the stream is followed), which receives
    /// `credentials` and `hello`, whose protocol version and token are filled in. Of several
    /// shards, which have semicolons between, it is the one that the revision of `hello` belongs
    /// to.
    ///
    /// # Errors
    ///
    /// When an address has no port, or is no address, or certificates cannot be used; or when there
    /// are several shards and `hello` names no revision.
    pub fn new(
        controller: &str,
        credentials: &Credentials,
        hello: Hello,
    ) -> Result<Self, ConfigError> {
        let all = shards::addresses_in(controller)?;
        let at = match (&hello.revision, all.len()) {
            (_, 1) => 0,
            (Some(revision), count) => {
                tidegate_shards::place(&revision.namespace, &revision.name, count)
            }
            (None, _) => return Err(ConfigError::NoRevision),
        };
        Self::at(&all, at, credentials, hello)
    }

    /// Reports to every shard: a configuration for each, in their order. Each has a token of its
    /// own.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], but that `hello` need name no revision.
    pub fn for_each_shard(
        controllers: &str,
        credentials: &Credentials,
        hello: &Hello,
    ) -> Result<Vec<Self>, ConfigError> {
        let all = shards::addresses_in(controllers)?;
        (0..all.len()).map(|at| Self::at(&all, at, credentials, hello.clone())).collect()
    }

    fn at(
        all: &[&str],
        at: usize,
        credentials: &Credentials,
        hello: Hello,
    ) -> Result<Self, ConfigError> {
        let token = tidegate_trust::secret::random_bytes::<TOKEN_BYTES>()?.to_vec();
        let protocol_version = tidegate_proto::PROTOCOL_VERSION;
        let (shard, shards) = shards::named(at, all.len());
        Ok(Self {
            controllers: transport::Target::all(all[at], credentials)?,
            hello: Hello { protocol_version, token, shard, shards, ..hello },
            history_capacity: DEFAULT_HISTORY_CAPACITY,
            backoff: Backoff::default(),
            metrics: Metrics::default(),
        })
    }
}

/// Makes the three ends of a report stream. Nothing happens until [`Driver::run`] is polled.
#[must_use]
pub fn start(config: Config) -> (Reporter, Inbox, Driver) {
    let history = Arc::new(Mutex::new(StatHistory::new(config.history_capacity)));
    let (wake, woken) = mpsc::channel(1);
    let (outlets, inbox) = inbox::pair();
    let forgotten = config.metrics.forgotten.clone();
    let reporter = Reporter { history: Arc::clone(&history), wake, forgotten };
    (reporter, inbox, Driver::new(config, history, woken, outlets))
}

/// Takes statistics and never makes its caller wait. Clones belong to the same reporter; when the
/// last one is dropped the driver sends what is left and ends.
#[derive(Debug, Clone)]
pub struct Reporter {
    history: Arc<Mutex<StatHistory>>,
    wake: mpsc::Sender<()>,
    forgotten: Counter,
}

impl Reporter {
    /// Remembers `stat` and sends it as soon as a controller is connected. Its sequence number
    /// is assigned here, whatever `stat` holds. Returns that number.
    pub fn report(&self, stat: Stat) -> u64 {
        let mut history = lock(&self.history);
        let before = history.forgotten();
        let sequence = history.push(stat);
        // Streams to several shards count together.
        self.forgotten.increment(history.forgotten() - before);
        drop(history);
        // A full channel means that the driver has been woken already and will see this stat too;
        // a closed one that it is gone, and then there is no task to wake.
        let _ = self.wake.try_send(());
        sequence
    }
}

/// A poisoned lock is taken all the same: every method of the history leaves it whole.
fn lock(history: &Mutex<StatHistory>) -> MutexGuard<'_, StatHistory> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
