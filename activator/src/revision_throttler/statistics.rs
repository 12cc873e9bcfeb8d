//! What became of a revision's requests, in numbers.

use tidegate_admission::{Order, PeriodAverages};

/// The statistics of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeriodStats {
    /// Averages and counts; a waiting request counts as in flight.
    pub report: PeriodAverages,
    /// Counts and totals at the end of the period.
    pub status: Status,
    /// Requests of the period that were refused.
    pub refused: u64,
    /// Requests of the period that were sent, and got no response from the instance.
    pub failed: u64,
}

/// The requests and instances of a revision now, and totals since it became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Instances that may be sent requests.
    pub ready: u32,
    /// Requests at instances.
    pub in_flight: u64,
    /// In which order requests leave the queue.
    pub order: Order,
    /// Requests in the queue.
    pub waiting: u32,
    /// What the requests in the queue weigh.
    pub waiting_bytes: u64,
    /// Requests since the revision became known.
    pub requests: u64,
    /// Requests that arrived while no instance was ready.
    pub cold_starts: u64,
    /// Instances that were left out because their address is not understood.
    pub endpoints_ignored: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests that were sent and got no response from the instance.
    pub failed: u64,
    /// Requests at instances whose clients have gone, and which hold their slot there.
    pub abandoned: u64,
    /// Requests that were abandoned at an instance since the revision became known, held or not.
    pub abandoned_total: u64,
    /// Instances that grant credits.
    pub credit_streams: u32,
    /// Their credits that can be spent.
    pub credits: u64,
}

/// Totals since the revision became known, and where the open period began.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) cold_starts: u64,
    pub(super) endpoints_ignored: u64,
    pub(super) refused: u64,
    pub(super) failed: u64,
    pub(super) abandoned: u64,
    refused_before_period: u64,
    failed_before_period: u64,
}

impl Totals {
    /// Ends a period and begins the next one.
    pub(super) fn close_period(&mut self, report: PeriodAverages, status: Status) -> PeriodStats {
        let refused = self.refused - self.refused_before_period;
        let failed = self.failed - self.failed_before_period;
        self.refused_before_period = self.refused;
        self.failed_before_period = self.failed;
        PeriodStats { report, status, refused, failed }
    }
}
