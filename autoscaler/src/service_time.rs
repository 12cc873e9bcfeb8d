//! The service time of requests, learned without a queue: tells load from queueing while instances
//! start.
//!
//! Concurrency counts requests that wait like requests that are served. While instances start, the
//! queue before them grows with every second, and with it the recommendation, although the number
//! of instances that the arrivals need has not changed. By Little's law that number is known if it
//! is known how long a request takes when it need not wait: its service time.

use crate::time::Timestamp;

/// The service time of requests, and when instances were last starting.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ServiceTimeEstimate {
    /// Seconds that a request is in flight when nothing starts and there is no panic.
    request_s: Option<f64>,
    /// When most of what was requested was last still starting.
    last_starting: Option<Timestamp>,
}

impl ServiceTimeEstimate {
    /// Learns while nothing starts and there is no panic: as many seconds as there are requests in
    /// flight for each that arrives per second.
    pub(crate) fn learn(&mut self, in_flight: f64, arrivals_per_second: f64) {
        if in_flight > 0.0 && arrivals_per_second > 0.0 {
            let request_s = in_flight / arrivals_per_second;
            self.request_s = Some(request_s).filter(|seconds| seconds.is_finite());
        }
    }

    /// Notes that most instances are still starting.
    pub(crate) fn note_starting(&mut self, now: Timestamp) {
        self.last_starting = Some(now);
    }

    /// How long a request takes, if it is known and instances were starting within `memory_ms`.
    pub(crate) fn bounding_request_s(&self, now: Timestamp, memory_ms: u64) -> Option<f64> {
        let since_ms = now.millis_since(self.last_starting?);
        self.request_s.filter(|_| since_ms <= memory_ms)
    }
}
