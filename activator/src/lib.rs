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
//! * [`config`]: what is configured; [`server`]: the activator's life, from binding to draining;
//!   [`listeners`]: where it listens, over TLS too; [`balancers`]: who may say whose a connection
//!   is.
//! * [`request_keys`] and `due`: what a request is ordered and placed by, and when it is due;
//!   `queue_rules`: whose turn it is in a revision's queue; [`waiting_totals`]: what waits for all
//!   revisions together.
//! * [`routing`]: where a request goes, by routes or by what it names itself, which [`route`]
//!   reads; `naming`: before it is known which there are; `mirror`: copies that go elsewhere as
//!   well, and `mirror_outcome`: how they end; [`throttler`]: the revisions that are known;
//!   `revision_ports`: ports whose requests are one revision's, whatever they name; [`tcp_port`]:
//!   those whose connections are passed on as they are.
//! * [`revision_throttler`]: one revision's queue and instances, and which request is sent where.
//! * `queueing`: how a request is queued; `repeats`: what may be sent again; `handler`: one request
//!   from the client to an instance; `instance_fields`: what its head says only there; `hedging`:
//!   to a second instance as well; [`probe`]: Knative's probes; [`error`]: why the activator
//!   responds itself; [`respond`]: how that becomes HTTP or gRPC.
//! * [`door`]: further addresses, each for one route.
//! * [`overflow`]: what becomes of requests that no instance takes; [`placeholder`]: the page that
//!   people see meanwhile.
//! * [`cold_start`]: where the time went of a request that met no ready instance.
//! * [`request_observer`]: what is told of single requests; [`outcomes`]: how requests ended;
//!   [`metrics`]: that and more in numbers; `reports`: what the controller is sent, and when;
//!   `knative_autoscaler`: the same for Knative's.

pub mod balancers;
pub mod cold_start;
pub mod config;
pub mod door;
mod due;
pub mod error;
mod handler;
mod hedging;
mod instance_fields;
mod knative_autoscaler;
pub mod listeners;
pub mod metrics;
mod mirror;
mod mirror_outcome;
mod naming;
pub mod outcomes;
pub mod overflow;
pub mod placeholder;
pub mod probe;
mod queue_rules;
mod queueing;
mod repeats;
mod reports;
pub mod request_keys;
pub mod request_observer;
pub mod respond;
mod revision_ports;
pub mod revision_throttler;
pub mod route;
pub mod routing;
pub mod server;
pub mod tcp_port;
pub mod throttler;
pub mod waiting_totals;

pub use balancers::{BadNetwork, Balancers};
pub use cold_start::ServerTimingHeader;
pub use config::{Carries, Config, ConfigError, FrontDoors, TcpListen, TlsListen};
pub use knative_autoscaler::KnativeAddress;
pub use listeners::Addresses;
pub use revision_throttler::{RevisionThrottler, Status};

pub use door::Door;
pub use due::DEADLINE_HEADER;
pub use outcomes::{OutcomeCounter, Outcomes};

pub use request_observer::{EndedRequest, RequestObserver};

pub use routing::Routes;

pub use server::{Activator, Drained, Observer, Running, Unready};
pub use tcp_port::Announcement;
pub use tidegate_relay::http;
pub use tidegate_relay::http::HeaderValue;
pub use tidegate_relay::memory;
pub use tidegate_relay::{Cause, CauseHeader};
pub use tidegate_reporter::{Credentials, Endpoint, RevisionName};
pub use tidegate_routes::Table;
