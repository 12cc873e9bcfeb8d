//! What instances cost.

use std::fmt;

use tidegate_sim::result::SimResult;

use crate::figures;

/// Prices in any currency; all zero means that no cost is shown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// For an instance alive for an hour.
    pub instance_hour: f64,
    /// For a million requests.
    pub million_requests: f64,
    /// For a gigabyte of memory held for an hour.
    pub gb_hour: f64,
    /// Gigabyte-hours that the run held, when the memory of its instances is known.
    pub gb_hours: f64,
}

impl Prices {
    /// The same with the gigabyte-hours of `result`, where `memory_mb` knows what an instance of a
    /// revision holds.
    pub fn with_memory(self, result: &SimResult, memory_mb: impl Fn(&str) -> Option<f64>) -> Self {
        let held = result.revisions.iter().filter_map(|one| {
            Some(memory_mb(&one.revision)? / 1_000.0 * one.instance_seconds / 3_600.0)
        });
        Prices { gb_hours: held.sum(), ..self }
    }

    /// What `result` cost; `None` when there are no prices.
    pub fn of(self, result: &SimResult) -> Option<f64> {
        let asked = [self.instance_hour, self.million_requests, self.gb_hour];
        asked.iter().any(|price| *price != 0.0).then(|| {
            self.instance_hour * result.instance_seconds / 3_600.0
                + self.million_requests * result.requests as f64 / 1e6
                + self.gb_hour * self.gb_hours
        })
    }
}

impl fmt::Display for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.instance_hour, "an instance-hour"),
            (self.gb_hour, "a GB-hour"),
            (self.million_requests, "a million requests"),
        ];
        let priced = parts.iter().filter(|(price, _)| *price != 0.0);
        let words: Vec<String> =
            priced.map(|(price, what)| format!("{} {what}", figures::number(*price))).collect();
        write!(f, "at {}", words.join(", "))
    }
}
