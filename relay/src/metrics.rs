//! Requests that this crate refuses by itself, and its memory, in numbers.
//!
//! Refusals are counted for the process, as memory is, however many servers it runs. A role that
//! exports them creates [`Metrics`] once and refreshes it when they are read.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use tidegate_telemetry::{Counter, Gauge, Metric, Recorder};

use crate::memory;

const MEMORY_CHARGED: Metric = Metric::gauge(
    "tidegate_memory_charged_bytes",
    "Bytes that clients and instances make the process hold now.",
);
const MEMORY_BUDGET: Metric =
    Metric::gauge("tidegate_memory_budget_bytes", "The most bytes that they can make it hold.");
const MEMORY_REFUSED: Metric = Metric::counter(
    "tidegate_memory_refusals_total",
    "Requests, streams and connections refused because the budget was used up.",
);
const REJECTED: Metric = Metric::counter(
    "tidegate_requests_rejected_total",
    "Requests that were malformed or too large and reached no app, by cause.",
)
.labelled(&["cause"]);

const CONNECTIONS_FAILED: Metric = Metric::counter(
    "tidegate_connections_failed_total",
    "Connections of clients that were not accepted or failed before a request, by cause.",
)
.labelled(&["cause"]);

/// Every metric of this crate.
pub const METRICS: &[Metric] =
    &[MEMORY_CHARGED, MEMORY_BUDGET, MEMORY_REFUSED, REJECTED, CONNECTIONS_FAILED];

/// Why a client's connection never came to its first request. Counted for the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionFailure {
    /// The system gave none, for want of descriptors or memory.
    Accept,
    /// Its TLS handshake failed, or took too long.
    Handshake,
    /// It came from a proxy that has to say whose it is, and did not.
    ProxyHeader,
}

impl ConnectionFailure {
    const ALL: [Self; 3] = [Self::Accept, Self::Handshake, Self::ProxyHeader];

    fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Handshake => "handshake",
            Self::ProxyHeader => "proxy_header",
        }
    }

    /// Counts one more.
    pub fn count(self) {
        CONNECTION_FAILURES[self as usize].fetch_add(1, Ordering::Relaxed);
    }
}

static CONNECTION_FAILURES: [AtomicU64; ConnectionFailure::ALL.len()] =
    [const { AtomicU64::new(0) }; ConnectionFailure::ALL.len()];

/// Why a request was refused before it reached a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// It is not HTTP, or ambiguous.
    Malformed,
    /// Its head is longer than the limit, or has too many fields.
    HeadTooLarge,
    /// Its head did not arrive in time.
    HeadTimeout,
    /// It requires a version, a coding or an expectation that is not supported.
    Unsupported,
}

impl Rejection {
    const ALL: [Self; 4] =
        [Self::Malformed, Self::HeadTooLarge, Self::HeadTimeout, Self::Unsupported];

    fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTimeout => "head_timeout",
            Self::Unsupported => "unsupported",
        }
    }

    /// The cause of a refusal with this status; `None` for lack of memory, which is counted where
    /// it is detected.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => None,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Some(Self::HeadTooLarge),
            StatusCode::BAD_REQUEST => Some(Self::Malformed),
            _ => Some(Self::Unsupported),
        }
    }

    /// Counts one more.
    pub(crate) fn count(self) {
        REJECTIONS[self as usize].fetch_add(1, Ordering::Relaxed);
    }
}

static REJECTIONS: [AtomicU64; Rejection::ALL.len()] =
    [const { AtomicU64::new(0) }; Rejection::ALL.len()];

/// Handles of this crate's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    memory_charged: Gauge,
    memory_budget: Gauge,
    memory_refused: Counter,
    rejected: [Counter; Rejection::ALL.len()],
    connections_failed: [Counter; ConnectionFailure::ALL.len()],
}

impl Metrics {
    /// Registers the metrics with `recorder`.
    pub fn new(recorder: &dyn Recorder) -> Metrics {
        Metrics {
            memory_charged: MEMORY_CHARGED.register_gauge(recorder, &[]),
            memory_budget: MEMORY_BUDGET.register_gauge(recorder, &[]),
            memory_refused: MEMORY_REFUSED.register_counter(recorder, &[]),
            rejected: Rejection::ALL
                .map(|rejection| REJECTED.register_counter(recorder, &[rejection.name()])),
            connections_failed: ConnectionFailure::ALL
                .map(|failure| CONNECTIONS_FAILED.register_counter(recorder, &[failure.name()])),
        }
    }

    /// Brings the metrics up to date; call it before they are read.
    pub fn refresh(&self) {
        let memory = memory::usage();
        self.memory_charged.set(memory.charged_bytes as f64);
        self.memory_budget.set(memory.budget_bytes as f64);
        self.memory_refused.absolute(memory.refusals);
        for (counter, count) in self.rejected.iter().zip(&REJECTIONS) {
            counter.absolute(count.load(Ordering::Relaxed));
        }
        for (counter, count) in self.connections_failed.iter().zip(&CONNECTION_FAILURES) {
            counter.absolute(count.load(Ordering::Relaxed));
        }
    }
}
