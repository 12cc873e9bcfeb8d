//! What became of requests, counted on the data path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use http::StatusCode;
use parking_lot::Mutex;
use tidegate_proto::latency_digest::{HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS};

/// What the data path counts; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outcomes {
    shared: Arc<OutcomeCounts>,
}

#[derive(Debug)]
struct OutcomeCounts {
    /// Requests that mark themselves as probes of a mesh: they pass the gate, but are no demand.
    uncounted: AtomicU64,
    /// Everything else, kept when the controller reads it.
    period: Option<Mutex<OpenPeriod>>,
}

/// What ended since it was last taken: one lock for all of it, so that there are never more errors
/// than requests.
#[derive(Debug)]
struct OpenPeriod {
    finished: u64,
    server_errors: u64,
    failed: u64,
    /// Service times in microseconds.
    digest: Histogram<u32>,
}

/// What ended in a period.
#[derive(Debug, Default)]
pub(super) struct PeriodOutcomes {
    pub(super) finished: u64,
    pub(super) server_errors: u64,
    pub(super) failed: u64,
    /// Empty when no request was timed.
    pub(super) latency_digest: Vec<u8>,
}

/// The reader of what became of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestReader {
    /// None: nothing is kept.
    None,
    /// The controller.
    Controller,
}

impl Outcomes {
    /// All zero. Outcomes and service times are kept only for a reader.
    pub fn new(reader: DigestReader) -> Self {
        let digest = match reader {
            DigestReader::Controller => {
                Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, SIGNIFICANT_DIGITS).ok()
            }
            DigestReader::None => None,
        };
        let period = digest.map(|digest| {
            Mutex::new(OpenPeriod { finished: 0, server_errors: 0, failed: 0, digest })
        });
        Self { shared: Arc::new(OutcomeCounts { uncounted: AtomicU64::new(0), period }) }
    }

    /// Whether anybody reads what became of requests.
    pub fn is_read(&self) -> bool {
        self.shared.period.is_some()
    }

    /// The app responded. It had the request for this long, unless that is not to be counted.
    pub fn responded(&self, status: Option<StatusCode>, service: Option<Duration>) {
        let Some(period) = &self.shared.period else { return };
        let is_error = status.is_some_and(|status| status.is_server_error());
        let mut period = period.lock();
        period.finished += 1;
        period.server_errors += u64::from(is_error);
        if let Some(service) = service {
            let micros = u64::try_from(service.as_micros()).unwrap_or(u64::MAX);
            period.digest.saturating_record(micros.max(LOWEST_US));
        }
    }

    /// A request failed in the app or on the way to it.
    pub fn failed(&self) {
        let Some(period) = &self.shared.period else { return };
        let mut period = period.lock();
        period.finished += 1;
        period.failed += 1;
    }

    /// A request that arrived at the gate is not demand.
    pub fn uncounted(&self) {
        self.shared.uncounted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_uncounted(&self) -> u64 {
        self.shared.uncounted.swap(0, Ordering::Relaxed)
    }

    pub(super) fn take_period(&self) -> PeriodOutcomes {
        let Some(period) = &self.shared.period else { return PeriodOutcomes::default() };
        let mut period = period.lock();
        let mut latency_digest = Vec::new();
        if !period.digest.is_empty() {
            // Writing to memory cannot fail; an empty digest would only be less informative.
            let _ = V2Serializer::new().serialize(&period.digest, &mut latency_digest);
            period.digest.reset();
        }
        PeriodOutcomes {
            finished: std::mem::take(&mut period.finished),
            server_errors: std::mem::take(&mut period.server_errors),
            failed: std::mem::take(&mut period.failed),
            latency_digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_kept_for_the_controller_only() {
        let outcomes = Outcomes::new(DigestReader::Controller);
        outcomes.responded(Some(StatusCode::OK), Some(Duration::from_millis(3)));
        let late = Some(Duration::from_secs(100_000));
        outcomes.responded(Some(StatusCode::INTERNAL_SERVER_ERROR), late);
        outcomes.responded(Some(StatusCode::SWITCHING_PROTOCOLS), None);
        outcomes.responded(Some(StatusCode::NOT_FOUND), None);
        outcomes.failed();
        let period = outcomes.take_period();
        assert_eq!((period.finished, period.server_errors, period.failed), (5, 1, 1));
        let decoded: Histogram<u32> = hdrhistogram::serialization::Deserializer::new()
            .deserialize(&mut &period.latency_digest[..])
            .unwrap();
        assert_eq!(decoded.len(), 2);
        let next = outcomes.take_period();
        assert_eq!((next.finished, next.latency_digest.len()), (0, 0));

        let outcomes = Outcomes::new(DigestReader::None);
        outcomes.responded(Some(StatusCode::OK), Some(Duration::from_millis(3)));
        outcomes.failed();
        assert_eq!(outcomes.take_period().finished, 0);
    }
}
