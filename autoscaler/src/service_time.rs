//! The service time of requests, learned without a queue: tells load from queueing while instances
//! start.
//!
//! Concurrency counts requests that wait like requests that are served. While instances start, the
//! queue before them grows with every second, and with it the recommendation, although the number
//! of instances that the arrivals need has not changed. By Little's law that number is known if it
//! is known how long a request takes when it need not wait: its service time.
//!
//! Requests that have not ended say nothing of how long they take: the first second of a crowd
//! reads as many short ones. So it is learned only while most of those that came have ended for
//! certain, and what was learned is forgotten as soon as instances that are full end too few.

use crate::decision::Turnover;
use crate::time::Timestamp;

/// One second of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Second {
    /// Requests in flight, on average.
    pub(crate) in_flight: f64,
    /// Requests that came.
    pub(crate) arrived: f64,
}

/// How requests came and went in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Flow {
    /// How long the window is.
    pub(crate) length_s: f64,
    /// How long requests were in flight in it, all together.
    pub(crate) in_flight_s: f64,
    /// Requests that came.
    pub(crate) arrived: f64,
    /// Its first second.
    pub(crate) oldest: Second,
    /// Its last second.
    pub(crate) newest: Second,
}

impl Flow {
    /// Requests that have ended for certain. At the window's beginning there were at least as many
    /// as were in flight in its first second beyond those that came in it, and at its end at most
    /// as many as in its last second and those that came in it.
    fn ended_at_least(&self) -> f64 {
        let before = (self.oldest.in_flight - self.oldest.arrived).max(0.0);
        self.arrived + before - (self.newest.in_flight + self.newest.arrived)
    }

    /// Requests that have ended, as far as averages of seconds tell.
    fn ended(&self) -> f64 {
        self.arrived - (self.newest.in_flight - self.oldest.in_flight)
    }
}

/// The service time of requests, and when instances were last starting.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct ServiceTimeEstimate {
    /// Seconds that a request is in flight when nothing starts and there is no panic.
    request_s: Option<f64>,
    /// When most of what was requested was last still starting.
    last_starting: Option<Timestamp>,
}

impl ServiceTimeEstimate {
    /// Learns while nothing starts and there is no panic: as many seconds as requests were in
    /// flight for each that has ended, if half of those that came have for certain.
    pub(crate) fn learn(&mut self, flow: &Flow) {
        let (certain, ended) = (flow.ended_at_least(), flow.ended());
        if flow.in_flight_s > 0.0 && certain > 0.0 && certain * 2.0 >= flow.arrived && ended > 0.0 {
            let request_s = flow.in_flight_s / ended;
            self.request_s = Some(request_s).filter(|seconds| seconds.is_finite());
        }
    }

    /// Whether instances that can serve `places` requests at a time were full, for there were
    /// always at least `least`, and not every place was left once. How long requests take is
    /// then forgotten, if each place would have been left twice.
    pub(crate) fn doubt(&mut self, flow: &Flow, least: f64, places: f64) -> Turnover {
        let is_full = places > 0.0 && least >= places;
        if !is_full || flow.ended() >= places {
            return Turnover::Usual;
        }
        self.request_s = self.request_s.filter(|request_s| flow.length_s / request_s < 2.0);
        Turnover::Stuck
    }

    /// Notes that most instances are still starting.
    pub(crate) fn note_starting(&mut self, now: Timestamp) {
        self.last_starting = Some(now);
    }

    /// How long a request takes, if it is known and instances were starting within `memory_ms`.
    pub(crate) fn bounding_request_s(&self, now: Timestamp, memory_ms: u64) -> Option<f64> {
        self.request_s.filter(|_| self.is_bounding(now, memory_ms))
    }

    /// Whether instances were starting within `memory_ms`.
    pub(crate) fn is_bounding(&self, now: Timestamp, memory_ms: u64) -> bool {
        self.last_starting.is_some_and(|last| now.millis_since(last) <= memory_ms)
    }
}
