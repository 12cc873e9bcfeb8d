//! The HTTP data plane: one exchange from a client connection to an upstream.
//!
//! It knows HTTP: HTTP/1.0, HTTP/1.1 and HTTP/2 without TLS, bodies and trailers both ways,
//! informational responses, upgrades, time limits. It must never know limits, revisions or
//! Kubernetes: policy enters as a [`Handler`] that decides, and as a guard that
//! [`Exchange::forward`] drops the moment the upstream is done.
//!
//! One task moves both directions of an HTTP/1 exchange, between the buffers of two
//! connections, and nothing is read before there is room to write it.
//!
//! Reading order: [`listen()`] binds, [`server`] accepts connections and makes exchanges,
//! [`exchange`] is one request and its response, [`upstream`] keeps the connections it is forwarded
//! over; [`mod@splice`] passes on connections that carry no HTTP; [`proxy_protocol`] is how a
//! balancer says whose a connection is. Below them are the heads
//! ([`head`]), the HTTP/1 codec (`h1`), the HTTP/2 stream halves (`h2io`) and the filter between
//! the HTTP/2 library and its sockets (`h2gate`), time limits ([`timer`]), the memory budget
//! ([`memory`]), the descriptors that clients cannot take ([`descriptors`]), counts of refusals
//! ([`metrics`]), why a proxy responds itself ([`cause`]), shutdown ([`drain`]) and the forwarding
//! fields ([`forwarded`]).

mod buffers;
pub mod cause;
mod date;
pub mod descriptors;
pub mod drain;
pub mod error;
pub mod exchange;
pub mod forwarded;
mod h1;
mod h2gate;
mod h2io;
pub mod head;
pub mod host;
mod io;
mod listen;
pub mod memory;
pub mod metrics;
pub mod proxy_protocol;
pub mod server;
pub mod splice;
mod target;
pub mod timer;
mod trailers;
pub mod upstream;

pub use bytes;
pub use http;

pub use cause::{Cause, CauseHeader};
pub use drain::{Drain, Phase};
pub use error::{ForwardError, Interrupted, Timeout};
pub use exchange::conversation::Conversation;
pub use exchange::forward::Forward;
pub use exchange::guard::Guard;
pub use exchange::hedged::{Hedged, Second, SecondEnd};
pub use exchange::{BodyTap, Exchange, ExchangeReport, ResponseHook};
pub use head::{BodyLength, Reply, RequestHead, Scheme};
pub use listen::listen;
pub use server::{Callers, Handler, Server, ServerSettings};
pub use timer::{StreamLimits, TimeLimits};
pub use upstream::{Address, ConnectPatience, Upstream, UpstreamSettings};
