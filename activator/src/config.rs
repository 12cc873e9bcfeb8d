//! What an activator is configured with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidegate_admission::{Abandoned, DispatcherSettings};
use tidegate_relay::http::header::HeaderValue;
use tidegate_relay::{ServerSettings, TimeLimits, memory};
use tidegate_reporter::{Credentials, Endpoint, RevisionName};

use crate::metrics::Metrics;
use crate::request_observer::RequestObserver;

/// Knative's total timeout of a request, which also bounds the wait for an instance.
pub const DEFAULT_LONGEST_WAIT: Duration = Duration::from_secs(300);

/// The largest default memory budget, in bytes. Whatever clients send, the activator then stays
/// within 128 MB of what it takes when idle.
pub const MEMORY_BUDGET_BYTES: usize = 80 << 20;

/// The configuration of one activator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The controller's `host:port`. Without one, instances must be given as [`Config::endpoints`].
    pub controller: Option<String>,
    /// What it authenticates to the controller with.
    pub credentials: Credentials,
    /// The activator's own name, unique among those of one controller.
    pub name: String,
    /// The revision of requests that name none: local mode's only one.
    pub default_revision: Option<RevisionName>,
    /// Instances known from the start, until the controller lists others.
    pub endpoints: Vec<(RevisionName, Endpoint)>,
    /// How instances are chosen, and the bounds of each revision's queue.
    pub dispatch: DispatcherSettings,
    /// How long a request may take, waiting included.
    pub limits: TimeLimits,
    /// What becomes of the room at an instance when a request's client has gone.
    pub abandoned: Abandoned,
    /// The bounds of the listener, and whether the activator's own responses carry their cause
    /// in a header.
    pub server: ServerSettings,
    /// Most bytes that this process holds for clients and instances at a time.
    pub memory_budget_bytes: usize,
    /// The secret that the sidecars recognise this activator by. They then state the cause of their
    /// own error responses, for the activator to count and to pass on in its own words, and trust
    /// its headers for the client's address.
    pub sidecar_secret: Option<HeaderValue>,
    /// How long to wait, when an app closes its connection without a response, for the controller
    /// to report that its instance has ended, so that the response names the right cause. Zero
    /// where the controller may be far away.
    pub exit_notice_wait: Duration,
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
            controller: None,
            credentials: Credentials::default(),
            name: format!("activator-{}", std::process::id()),
            default_revision: None,
            endpoints: Vec::new(),
            dispatch: DispatcherSettings {
                longest_wait: Some(DEFAULT_LONGEST_WAIT),
                ..DispatcherSettings::default()
            },
            limits: TimeLimits {
                response_start: Some(DEFAULT_LONGEST_WAIT),
                ..TimeLimits::default()
            },
            abandoned: Abandoned::hold(Some(DEFAULT_LONGEST_WAIT)),
            server: ServerSettings {
                platform_fields: tidegate_knative::headers::PLATFORM_FIELDS,
                ..ServerSettings::default()
            },
            memory_budget_bytes: memory::default_budget(memory::limit_bytes(), MEMORY_BUDGET_BYTES),
            sidecar_secret: None,
            exit_notice_wait: Duration::ZERO,
            metrics: Metrics::default(),
            requests: None,
        }
    }
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
