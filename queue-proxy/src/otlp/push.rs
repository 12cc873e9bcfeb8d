//! Where to push, and how.

use std::time::Duration;

/// A push in the OpenTelemetry protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// How.
    pub protocol: OtlpProtocol,
    /// Where to, as a URL.
    pub endpoint: String,
    /// Time between two pushes of metrics.
    pub interval: Duration,
}

/// The two transports of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}
