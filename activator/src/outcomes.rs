//! The outcomes of an activator's requests: how many failed, by cause, how many their clients left,
//! and how long the others took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use tidegate_relay::Cause;

/// Latencies are kept from a microsecond to this, to two digits: some 20 kB.
const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// Counts outcomes. Shared by all requests of an activator.
#[derive(Debug)]
pub struct OutcomeCounter {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    failed: BTreeMap<(u16, Cause), u64>,
    left: u64,
    app_errors: u64,
    latency_micros: Histogram<u64>,
}

/// The outcomes counted so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcomes {
    /// Requests that got no response from the app, by the status that the client got and why.
    pub failed: BTreeMap<(u16, Cause), u64>,
    /// Requests whose clients left before the response was complete, in the queue or at an
    /// instance.
    pub left: u64,
    /// Requests that the app itself responded to with a status of 5xx.
    pub app_errors: u64,
    /// How long half of the requests that the app responded to took, from arrival to the last byte.
    pub p50: Duration,
    /// How long all but one in a hundred took.
    pub p99: Duration,
}

impl Outcomes {
    /// Requests that got no response from the app.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

impl Default for OutcomeCounter {
    fn default() -> Self {
        let longest = u64::try_from(LATENCY_MAX.as_micros()).unwrap_or(u64::MAX);
        // These bounds are within what the histogram can be made with.
        let latency_micros = Histogram::new_with_bounds(1, longest, 2)
            .unwrap_or_else(|_| unreachable!("constant bounds"));
        let counts = Counts { failed: BTreeMap::new(), left: 0, app_errors: 0, latency_micros };
        Self { counts: Mutex::new(counts) }
    }
}

impl OutcomeCounter {
    /// A client got `status` from the activator because of `cause`.
    pub(crate) fn failed(&self, status: u16, cause: Cause) {
        *self.counts.lock().failed.entry((status, cause)).or_default() += 1;
    }

    /// A client left before its response was complete.
    pub(crate) fn left(&self) {
        self.counts.lock().left += 1;
    }

    /// The app responded, with its last byte `latency` after the request's arrival.
    pub(crate) fn responded(&self, status: u16, latency: Duration) {
        let mut counts = self.counts.lock();
        counts.app_errors += u64::from(status >= 500);
        // The length of a tunnel is its clients' choice, not the app's latency.
        if status != 101 {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            counts.latency_micros.saturating_record(micros.max(1));
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn snapshot(&self) -> Outcomes {
        let counts = self.counts.lock();
        let quantile =
            |share| Duration::from_micros(counts.latency_micros.value_at_quantile(share));
        Outcomes {
            failed: counts.failed.clone(),
            left: counts.left,
            app_errors: counts.app_errors,
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}
