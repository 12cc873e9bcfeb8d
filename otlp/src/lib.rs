//! Metrics as messages of the OpenTelemetry protocol, and how a message reaches its receiver.
//!
//! The sidecar and the exporter of the other roles push the same metrics to the same collectors:
//! what they say and how a connection is made, bounded and judged is written here once. The
//! transport also carries what is no OTLP, such as Prometheus' remote write: it is a POST as well.
//!
//! It must never decide when something is pushed, keep what was not taken, compress, follow a
//! redirect, wait without a bound, read an answer to its end, or print a header.
//!
//! Modules in reading order: [`attribute`] is who sends, [`metrics`](mod@metrics) makes messages of
//! what a registry gathered, [`transport`] is one push.

pub mod attribute;
pub mod metrics;
pub mod transport;

pub use attribute::{Resource, Value};
pub use transport::{
    Answer, Encoding, Message, Protocol, Refusal, Signal, Transport, TransportError,
};
