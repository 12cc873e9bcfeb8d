//! What an activator is configured with.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::{Abandoned, DispatcherSettings, HedgeSettings, OutlierSettings};
use tidegate_relay::http::header::HeaderValue;
use tidegate_relay::{ServerSettings, TimeLimits, memory};
use tidegate_reporter::{Credentials, Endpoint, RevisionName};
use tidegate_routes::Table;
use tidegate_tls::CertificatesError;

use crate::balancers::Balancers;
use crate::cold_start::ServerTimingHeader;
use crate::knative_autoscaler::KnativeAddress;
use crate::metrics::Metrics;
use crate::overflow::Overflow;
use crate::request_keys::RequestKeys;
use crate::request_observer::RequestObserver;
use crate::tcp_port::Announcement;
use crate::waiting_totals::WaitingBounds;

/// Knative's total timeout of a request, which also bounds the wait for an instance.
pub const DEFAULT_LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What a new instance without a limit may have in flight at first: as many as Knative's autoscaler
/// plans for one that has none.
pub const DEFAULT_SLOW_START: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// The largest default memory budget, in bytes. Whatever clients send, the activator then stays
/// within 128 MB of what it takes when idle.
pub const MEMORY_BUDGET_BYTES: usize = 80 << 20;

/// The configuration of one activator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What connections to [`Config::listen`] carry.
    pub carries: Carries,
    /// Where to listen for HTTP over TLS, if it is spoken.
    pub tls: Option<TlsListen>,
    /// The load balancers whose connections begin with a header of the PROXY protocol.
    pub balancers: Balancers,
    /// Ports whose connections are passed on as they are.
    pub tcp_ports: Vec<TcpListen>,
    /// The controller's `host:port`, or those of all its shards with semicolons between. Without
    /// one, instances must be given as [`Config::endpoints`].
    pub controller: Option<String>,
    /// What it authenticates to the controller with.
    pub credentials: Credentials,
    /// A Knative autoscaler that is told of the load as well, as its own activators tell it.
    pub knative_autoscaler: Option<KnativeAddress>,
    /// The activator's own name, unique among those of one controller.
    pub name: String,
    /// Revisions that are known before the controller names them: until it does, their requests
    /// wait instead of being told that there is no such revision.
    pub revisions: Vec<RevisionName>,
    /// The revision of requests that name none: local mode's only one.
    pub default_revision: Option<RevisionName>,
    /// Where requests go by host, path, and more; those that no route is for go where they would
    /// without. It holds until [`Routes::set`](crate::Routes::set) or the controller says
    /// otherwise.
    pub routes: Option<Table>,
    /// Instances known from the start, until the controller lists others.
    pub endpoints: Vec<(RevisionName, Endpoint)>,
    /// How instances are chosen, and the bounds of each revision's queue.
    pub dispatch: DispatcherSettings,
    /// What requests are ordered and placed by, as far as [`Config::dispatch`] asks for it.
    pub keys: RequestKeys,
    /// What may wait in the queues of all revisions together.
    pub waiting_bounds: WaitingBounds,
    /// What a new instance without a limit may have in flight at first; `None` gives it all.
    pub slow_start: Option<NonZeroU32>,
    /// How many requests may be sent again that an instance may have seen and that are harmless to
    /// repeat, in thousandths of all.
    pub retry_permille: u16,
    /// How many requests are sent to a second instance because the first takes long, and when.
    pub hedges: HedgeSettings,
    /// Which instances are left alone because they are worse than the others.
    pub outliers: OutlierSettings,
    /// What becomes of requests that are refused.
    pub overflow: Overflow,
    /// How long a request may take, waiting included; but the time without a byte counts from when
    /// it is sent to an instance.
    pub limits: TimeLimits,
    /// How long an instance may take until its response begins.
    pub first_byte_timeout: Option<Duration>,
    /// What becomes of the room at an instance when a request's client has gone.
    pub abandoned: Abandoned,
    /// The bounds of the listener, and whether the activator's own responses carry their cause
    /// in a header.
    pub server: ServerSettings,
    /// Most bytes that this process holds for clients and instances at a time.
    pub memory_budget_bytes: usize,
    /// The secret that the sidecars recognise this activator by. They then state the cause of their
    /// own error responses, for the activator to count and to pass on in its own words, trust
    /// its headers for the client's address, and grant it credits if it asks for them.
    pub sidecar_secret: Option<HeaderValue>,
    /// Whether it asks the sidecars that know its secret for credits.
    pub front_doors: FrontDoors,
    /// How long to wait, when an app closes its connection without a response, for the controller
    /// to report that its instance has ended, so that the response names the right cause. Zero
    /// where the controller may be far away.
    pub exit_notice_wait: Duration,
    /// Whether clients are told in `Server-Timing` where the time of a cold start went.
    pub server_timing: ServerTimingHeader,
    /// Where the activator counts what happens; the default records nothing.
    pub metrics: Metrics,
    /// Who is told of each request that has ended.
    pub requests: Option<Arc<dyn RequestObserver>>,
}

impl Config {
    /// Defaults: Knative's bounds, least loaded first, and no controller.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            carries: Carries::Http,
            tls: None,
            balancers: Balancers::default(),
            tcp_ports: Vec::new(),
            controller: None,
            credentials: Credentials::default(),
            knative_autoscaler: None,
            name: format!("activator-{}", std::process::id()),
            revisions: Vec::new(),
            default_revision: None,
            routes: None,
            endpoints: Vec::new(),
            dispatch: DispatcherSettings {
                longest_wait: Some(DEFAULT_LONGEST_WAIT),
                ..DispatcherSettings::default()
            },
            keys: RequestKeys::default(),
            waiting_bounds: WaitingBounds::default(),
            slow_start: Some(DEFAULT_SLOW_START),
            retry_permille: 0,
            hedges: HedgeSettings::default(),
            outliers: OutlierSettings::default(),
            overflow: Overflow::default(),
            limits: TimeLimits {
                response_start: Some(DEFAULT_LONGEST_WAIT),
                ..TimeLimits::default()
            },
            first_byte_timeout: None,
            abandoned: Abandoned::hold(Some(DEFAULT_LONGEST_WAIT)),
            server: ServerSettings {
                platform_fields: tidegate_knative::headers::PLATFORM_FIELDS,
                ..ServerSettings::default()
            },
            memory_budget_bytes: memory::default_budget(memory::limit_bytes(), MEMORY_BUDGET_BYTES),
            sidecar_secret: None,
            front_doors: FrontDoors::Alone,
            exit_notice_wait: Duration::ZERO,
            server_timing: ServerTimingHeader::Hidden,
            metrics: Metrics::default(),
            requests: None,
        }
    }
}

/// What connections to an activator's main address carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carries {
    /// HTTP, each request for the revision that it names.
    #[default]
    Http,
    /// Anything, for the default revision: they are passed on as they are, each as one of its
    /// requests.
    Tcp,
}

/// Where clients connect over TLS.
#[derive(Debug, Clone)]
pub struct TlsListen {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Folders of `tls.crt` and `tls.key`, one for each certificate; the first is for clients that
    /// ask for no name, or for one that none is for.
    pub certificates: Vec<PathBuf>,
}

/// A port whose connections are passed on as they are to the instances of one revision, whose
/// requests they count as.
#[derive(Debug, Clone)]
pub struct TcpListen {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whose connections they are.
    pub revision: RevisionName,
    /// Whether instances are told whose a connection is.
    pub announcement: Announcement,
}

/// Whether other activators stand in front of the same instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontDoors {
    /// None does: what it sends an instance is all that the instance gets through an activator.
    Alone,
    /// Some do, or may: only the instances know what all of them send.
    Several,
}

/// Why an activator cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was configured.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The certificates cannot be shown.
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    /// The controller's address or the credentials cannot be read.
    #[error(transparent)]
    Controller(#[from] tidegate_reporter::ConfigError),
    /// Without a controller and without endpoints no request could ever be sent.
    #[error("neither a controller nor an endpoint is configured; expected at least one of them")]
    NowhereToSend,
    /// An instance's address cannot be read.
    #[error("endpoint {0:?} is not understood; expected an IP address and a port")]
    Endpoint(String),
}
