//! The activator: holds requests while there is no instance, and balances them.
//!
//! A request for a revision at zero wakes it and waits in a bounded queue; one for a running
//! revision goes to the instance with the fewest requests in flight that has room. No instance is
//! ever sent more than its limit. The controller lists the instances over the report stream; with
//! the controller gone, its last list holds and requests flow on.
//!
//! It must never decide how many instances there should be, hold a copy of the admission rule, make
//! a request wait for the controller, or send a request again that an instance may have received.
//!
//! Modules in reading order:
//!
//! * [`config`]: what is configured; [`server`]: the listener's life, from binding to draining.
//! * [`route`]: which revision a request is for; [`throttler`]: the revisions that are known;
//!   `revision_ports`: ports whose requests are one revision's, whatever they name;
//!   [`tcp_port`]: those whose connections are passed on as they are.
//! * [`revision_throttler`]: one revision's queue and instances, and which request is sent where.
//! * `handler`: one request from the client to an instance; [`probe`]: Knative's probes;
//!   [`error`]: why the activator responds itself; [`respond`]: how that becomes HTTP or gRPC.
//! * [`request_observer`]: what is told of single requests; [`outcomes`]: how requests ended;
//!   [`metrics`]: that and more in numbers; `reports`: what the controller is sent, and when.

pub mod config;
pub mod error;
mod handler;
pub mod metrics;
pub mod outcomes;
pub mod probe;
mod reports;
pub mod request_observer;
pub mod respond;
mod revision_ports;
pub mod revision_throttler;
pub mod route;
pub mod server;
pub mod tcp_port;
pub mod throttler;

pub use config::{Config, ConfigError};
pub use revision_throttler::{RevisionThrottler, Status};

pub use outcomes::{OutcomeCounter, Outcomes};

pub use request_observer::{EndedRequest, RequestObserver};

pub use server::{Activator, Drained, Observer, Running, Unready};
pub use tidegate_relay::http::HeaderValue;
pub use tidegate_relay::memory;
pub use tidegate_relay::{Cause, CauseHeader};
pub use tidegate_reporter::{Credentials, Endpoint, RevisionName};
