//! What a recommendation can be based on: the scaling metric, a percentile of it, what waits at
//! this moment, and whatever else the caller measures. The largest recommendation wins.

/// The most signals one decision can weigh.
pub const MAX_SIGNALS: usize = 7;

/// The most signals a caller can add to the library's own three.
pub const MAX_EXTRA_SIGNALS: usize = MAX_SIGNALS - 3;

/// What a signal measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SignalKind {
    /// Average number of requests in flight.
    #[default]
    Concurrency,
    /// Requests per second.
    RequestRate,
    /// A percentile of the seconds of the stable window.
    BurstPercentile,
    /// Requests that were in flight or waited when it was last heard of them, whatever the averages
    /// of the windows still say.
    Held,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// A latency, from a digest of the caller's.
    Latency,
    /// Anything else, told apart by a number of the caller's.
    Custom(u16),
}

impl SignalKind {
    /// Whether it is the number of requests, in flight or per second.
    pub const fn is_request_load(self) -> bool {
        matches!(
            self,
            SignalKind::Concurrency | SignalKind::RequestRate | SignalKind::BurstPercentile
        )
    }
}

/// A measured load and how much of it one instance should carry.
///
/// `stable` and `panic` are revision totals over the long and the short window, in the same unit
/// as `target`. A value that is not finite and a target that is not positive recommend nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signal {
    /// What it measures.
    pub kind: SignalKind,
    /// Load over the stable window.
    pub stable: f64,
    /// Load over the panic window.
    pub panic: f64,
    /// Load one instance should carry. Above 0.
    pub target: f64,
}

impl Signal {
    /// No load at all, of no target.
    pub(crate) const NONE: Signal =
        Signal { kind: SignalKind::Concurrency, stable: 0.0, panic: 0.0, target: 0.0 };

    /// Whether a recommendation can be based on it.
    pub fn is_sound(&self) -> bool {
        let finite = self.stable.is_finite() && self.panic.is_finite();
        finite && self.target > 0.0 && self.target.is_finite()
    }
}
