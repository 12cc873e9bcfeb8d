//! Several parts of one reader's period, added up.

use std::time::Duration;

use crate::gate::PeriodStats;

/// What happened in one reader's period.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Period {
    seconds: f64,
    weighted: f64,
    weighted_proxied: f64,
    requests: u64,
    proxied_requests: u64,
    refused: u64,
    parts: u32,
}

impl Period {
    /// Adds statistics that cover `length`.
    pub(super) fn add(&mut self, stats: &PeriodStats, length: Duration) {
        let seconds = length.as_secs_f64();
        self.parts += 1;
        self.seconds += seconds;
        if self.parts == 1 {
            // One part alone is taken as it is: multiplying and dividing again would round.
            self.weighted = stats.report.average_concurrency;
            self.weighted_proxied = stats.report.average_proxied_concurrency;
        } else {
            if self.parts == 2 {
                let before = self.seconds - seconds;
                self.weighted *= before;
                self.weighted_proxied *= before;
            }
            self.weighted += stats.report.average_concurrency * seconds;
            self.weighted_proxied += stats.report.average_proxied_concurrency * seconds;
        }
        self.requests += stats.report.request_count;
        self.proxied_requests += stats.report.proxied_request_count;
        self.refused += stats.refused();
    }

    /// Requests inside, weighted by time.
    pub(super) fn average(&self) -> f64 {
        self.divide(self.weighted)
    }

    /// The part that came through an activator.
    pub(super) fn average_proxied(&self) -> f64 {
        self.divide(self.weighted_proxied)
    }

    fn divide(&self, weighted: f64) -> f64 {
        if self.parts <= 1 {
            weighted
        } else if self.seconds > 0.0 {
            weighted / self.seconds
        } else {
            0.0
        }
    }

    /// Requests that arrived.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// The part that came through an activator.
    pub(super) fn proxied_requests(&self) -> u64 {
        self.proxied_requests
    }

    /// Requests that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}
