//! Time-weighted averages of concurrency, and request counts, for each period.
//!
//! The arithmetic is Knative's to the bit (each multiplication and addition by itself, on doubles),
//! so that an autoscaler decides the same on either's reports.

use core::time::Duration;

use crate::time::Moment;

/// The way a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Directly from the client or an ingress.
    Direct,
    /// Through an activator, which has counted it as well.
    Proxied,
}

/// The averages and counts between two cuts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PeriodAverages {
    /// Requests inside, weighted by time. Queued ones count as inside.
    pub average_concurrency: f64,
    /// The part of it that arrived through an activator.
    pub average_proxied_concurrency: f64,
    /// Requests that arrived, refused ones included.
    pub request_count: u64,
    /// The part of them that arrived through an activator.
    pub proxied_request_count: u64,
}

/// Integrates concurrency over time.
///
/// Each event first advances the integral to its time. A clock that stands still or runs backwards
/// adds nothing.
#[derive(Debug, Clone)]
pub struct Meter {
    concurrency: u64,
    proxied_concurrency: u64,
    last_change: Moment,
    request_count: u64,
    proxied_count: u64,
    weighted_concurrency: f64,
    weighted_proxied: f64,
    seconds_used: f64,
}

impl Meter {
    /// A meter that starts at `start`, with no request inside.
    pub const fn new(start: Moment) -> Self {
        Self {
            concurrency: 0,
            proxied_concurrency: 0,
            last_change: start,
            request_count: 0,
            proxied_count: 0,
            weighted_concurrency: 0.0,
            weighted_proxied: 0.0,
            seconds_used: 0.0,
        }
    }

    /// A request arrives. It must [`Meter::depart`] with the same source, also when it is refused.
    pub fn arrive(&mut self, now: Moment, source: Source) {
        self.advance(now);
        self.concurrency += 1;
        self.request_count += 1;
        if source == Source::Proxied {
            self.proxied_concurrency += 1;
            self.proxied_count += 1;
        }
    }

    /// The work of a request continues after it [`Meter::depart`]s: it still counts as inside,
    /// though not as another request, and must depart once more.
    pub fn stay(&mut self, now: Moment, source: Source) {
        self.advance(now);
        self.concurrency += 1;
        self.proxied_concurrency += u64::from(source == Source::Proxied);
    }

    /// A request has completed, failed or was cancelled.
    pub fn depart(&mut self, now: Moment, source: Source) {
        debug_assert!(self.concurrency > 0, "a request departed that had not arrived");
        self.advance(now);
        self.concurrency = self.concurrency.saturating_sub(1);
        if source == Source::Proxied {
            debug_assert!(self.proxied_concurrency > 0, "a proxied request departed twice");
            self.proxied_concurrency = self.proxied_concurrency.saturating_sub(1);
        }
    }

    /// Closes the period at `now` and opens the next. Requests inside stay inside.
    pub fn cut(&mut self, now: Moment) -> PeriodAverages {
        self.advance(now);
        let mut report = PeriodAverages {
            request_count: self.request_count,
            proxied_request_count: self.proxied_count,
            ..PeriodAverages::default()
        };
        if self.seconds_used > 0.0 {
            report.average_concurrency = self.weighted_concurrency / self.seconds_used;
            report.average_proxied_concurrency = self.weighted_proxied / self.seconds_used;
        }
        self.request_count = 0;
        self.proxied_count = 0;
        self.weighted_concurrency = 0.0;
        self.weighted_proxied = 0.0;
        self.seconds_used = 0.0;
        report
    }

    /// The number of requests inside now, queued or executing.
    pub const fn concurrency(&self) -> u64 {
        self.concurrency
    }

    /// The part of them that arrived through an activator.
    pub const fn proxied_concurrency(&self) -> u64 {
        self.proxied_concurrency
    }

    fn advance(&mut self, now: Moment) {
        let elapsed = now.since(self.last_change);
        if elapsed.is_zero() {
            return;
        }
        let seconds = seconds(elapsed);
        self.seconds_used += seconds;
        self.weighted_concurrency += self.concurrency as f64 * seconds;
        self.weighted_proxied += self.proxied_concurrency as f64 * seconds;
        self.last_change = now;
    }
}

/// Whole seconds plus the rest: rounds differently from one division of all nanoseconds, as Go
/// does.
fn seconds(elapsed: Duration) -> f64 {
    elapsed.as_secs() as f64 + f64::from(elapsed.subsec_nanos()) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_weighted_by_time() {
        let mut meter = Meter::new(Moment::ZERO);
        meter.arrive(Moment::from_millis(0), Source::Direct);
        meter.arrive(Moment::from_millis(250), Source::Proxied);
        meter.depart(Moment::from_millis(750), Source::Proxied);
        let report = meter.cut(Moment::from_millis(1_000));
        assert_eq!(report.average_concurrency, 1.5);
        assert_eq!(report.average_proxied_concurrency, 0.5);
        assert_eq!((report.request_count, report.proxied_request_count), (2, 1));
        // The one that stayed is still there in the next period; the counts start over.
        let next = meter.cut(Moment::from_millis(3_000));
        assert_eq!(next, PeriodAverages { average_concurrency: 1.0, ..PeriodAverages::default() });
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_adds_nothing() {
        let mut meter = Meter::new(Moment::from_millis(500));
        meter.arrive(Moment::from_millis(400), Source::Direct);
        assert_eq!(meter.cut(Moment::from_millis(100)).average_concurrency, 0.0);
        assert_eq!(meter.cut(Moment::from_millis(501)).average_concurrency, 1.0);
    }
}
