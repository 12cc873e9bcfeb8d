//! What became of the requests of one front door: how many failed by what, and how long the
//! others took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Latencies are kept from a microsecond to this, to two digits: some 20 kB.
const LATENCY_MAX: Duration = Duration::from_secs(3_600);

/// Why a client was answered by us, or by a sidecar of ours, and not by the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The instance ended before it answered.
    AppDied,
    /// The app closed its connection without an answer.
    AppClosed,
    /// The app, or its instance, does not accept connections.
    Unreachable,
    /// What was answered cannot be understood.
    Malformed,
    /// A time limit ran out.
    TimedOut,
    /// Too many others wait.
    LineFull,
    /// No instance had room in time.
    WaitedTooLong,
    /// The memory that clients may make us hold is used up.
    OverBudget,
    /// No instance ever became ready.
    NeverReady,
    /// The answer had begun, and broke off.
    CutShort,
    /// No revision has the name that was asked for.
    UnknownRevision,
}

impl Cause {
    /// Every cause there is.
    pub const ALL: [Self; 11] = [
        Self::AppDied,
        Self::AppClosed,
        Self::Unreachable,
        Self::Malformed,
        Self::TimedOut,
        Self::LineFull,
        Self::WaitedTooLong,
        Self::OverBudget,
        Self::NeverReady,
        Self::CutShort,
        Self::UnknownRevision,
    ];

    /// Its name for machines: in metrics, in the log, and in the header that tells clients.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AppDied => "app_died",
            Self::AppClosed => "app_closed",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed_response",
            Self::TimedOut => "timeout",
            Self::LineFull => "line_full",
            Self::WaitedTooLong => "waited_too_long",
            Self::OverBudget => "over_budget",
            Self::NeverReady => "never_ready",
            Self::CutShort => "cut_short",
            Self::UnknownRevision => "unknown_revision",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppDied => "app died",
            Self::AppClosed => "app closed the connection",
            Self::Unreachable => "app not reachable",
            Self::Malformed => "answer not understood",
            Self::TimedOut => "timed out",
            Self::LineFull => "line full",
            Self::WaitedTooLong => "waited too long",
            Self::OverBudget => "memory budget used up",
            Self::NeverReady => "never ready",
            Self::CutShort => "answer cut short",
            Self::UnknownRevision => "unknown revision",
        })
    }
}

/// Counts outcomes. Shared by all requests of a front door.
#[derive(Debug)]
pub struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    failed: BTreeMap<(u16, Cause), u64>,
    app_errors: u64,
    latency_micros: Histogram<u64>,
}

/// What a tally has counted so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcomes {
    /// Requests that were not answered by the app, by the status that the client got and why.
    pub failed: BTreeMap<(u16, Cause), u64>,
    /// Requests that the app itself answered with a status of 5xx.
    pub app_errors: u64,
    /// How long half of the requests that the app answered took, from arrival to the last byte.
    pub p50: Duration,
    /// How long all but one in a hundred took.
    pub p99: Duration,
}

impl Outcomes {
    /// Requests that were not answered by the app.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

impl Default for Tally {
    fn default() -> Self {
        let longest = u64::try_from(LATENCY_MAX.as_micros()).unwrap_or(u64::MAX);
        // These bounds are within what the histogram can be made with.
        let latency_micros = Histogram::new_with_bounds(1, longest, 2)
            .unwrap_or_else(|_| unreachable!("constant bounds"));
        let counts = Counts { failed: BTreeMap::new(), app_errors: 0, latency_micros };
        Self { counts: Mutex::new(counts) }
    }
}

impl Tally {
    /// A client was told `status` by us because of `cause`.
    pub(crate) fn failed(&self, status: u16, cause: Cause) {
        *self.counts.lock().failed.entry((status, cause)).or_default() += 1;
    }

    /// The app answered, with its last byte `latency` after the request's arrival.
    pub(crate) fn answered(&self, status: u16, latency: Duration) {
        let mut counts = self.counts.lock();
        counts.app_errors += u64::from(status >= 500);
        // A tunnel is as long as its conversation, which says nothing about the app.
        if status != 101 {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            counts.latency_micros.saturating_record(micros.max(1));
        }
    }

    /// Everything so far.
    #[must_use]
    pub fn outcomes(&self) -> Outcomes {
        let counts = self.counts.lock();
        let quantile =
            |share| Duration::from_micros(counts.latency_micros.value_at_quantile(share));
        Outcomes {
            failed: counts.failed.clone(),
            app_errors: counts.app_errors,
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}
