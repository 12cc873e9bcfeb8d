//! What instances cost.

use std::fmt;

use crate::result::SimResult;

use super::figures;

/// Prices in any currency; all zero means that nobody asked.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// For an instance alive for an hour.
    pub instance_hour: f64,
    /// For a million requests.
    pub million_requests: f64,
}

// === impl Prices ===

impl Prices {
    /// What `result` cost; `None` when there are no prices.
    pub fn of(self, result: &SimResult) -> Option<f64> {
        (self != Prices::default()).then(|| {
            self.instance_hour * result.instance_seconds / 3_600.0
                + self.million_requests * result.requests as f64 / 1e6
        })
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hour = figures::number(self.instance_hour);
        let requests = figures::number(self.million_requests);
        write!(f, "at {hour} an instance-hour and {requests} a million requests")
    }
}
