//! Which numbers of a scaler are served.

use crate::published::Numbers;

/// A number of a scaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How many replicas there should be now.
    DesiredReplicas,
    /// Requests in flight, waiting ones included, averaged over the stable window.
    Concurrency,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::DesiredReplicas, Self::Concurrency];

    /// Its name as a metric of a cluster.
    #[must_use]
    pub fn metric_name(self) -> &'static str {
        match self {
            Self::DesiredReplicas => "tidegate-desired-replicas",
            Self::Concurrency => "tidegate-concurrency",
        }
    }

    /// The metric of a name.
    #[must_use]
    pub fn of_metric_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.metric_name() == name)
    }

    /// Its value in thousandths.
    #[must_use]
    pub fn milli(self, numbers: &Numbers) -> i64 {
        match self {
            Self::DesiredReplicas => i64::from(numbers.recommendation.replicas) * 1_000,
            Self::Concurrency => numbers.concurrency_milli,
        }
    }
}
