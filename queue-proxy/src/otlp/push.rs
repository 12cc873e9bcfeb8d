//! Where to push, and how.

use std::time::Duration;

pub use tidegate_otlp::Protocol as OtlpProtocol;

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
