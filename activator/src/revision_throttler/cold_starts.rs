//! How the revision's instances came up, and the cold starts that the controller is still to be
//! told of.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::COLD_STARTS_PER_REPORT_MAX;
use tidegate_reporter::Starts;
use tidegate_timeline::Timeline;
use tokio::time::Instant;

/// What is known of the starts of instances.
#[derive(Debug, Default)]
pub(super) struct ColdStarts {
    pub(super) starts: Starts,
    /// Instances of which a cold start was told: the requests that waited beside it would say the
    /// same again.
    pub(super) told: BTreeSet<String>,
    /// Since the last report.
    pub(super) untold: Vec<ColdStart>,
}

/// The way of a request, or of a connection, that met no ready instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdStart {
    /// The instance that it was sent to.
    pub instance: String,
    /// When it was seen, in Unix milliseconds.
    pub seen_unix_ms: i64,
    /// What followed.
    pub timeline: Timeline,
}

/// Whether a cold start of the same instance was told of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    First,
    Before,
}

impl ColdStarts {
    pub(super) fn note(&mut self, seen: Instant, instance: &str, timeline: Timeline) -> Told {
        if !self.told.insert(instance.to_owned()) {
            return Told::Before;
        }
        if self.untold.len() < COLD_STARTS_PER_REPORT_MAX {
            let seen = SystemTime::now().checked_sub(seen.elapsed()).unwrap_or(UNIX_EPOCH);
            let seen = seen.duration_since(UNIX_EPOCH).unwrap_or_default();
            let seen_unix_ms = i64::try_from(seen.as_millis()).unwrap_or(i64::MAX);
            self.untold.push(ColdStart { instance: instance.to_owned(), seen_unix_ms, timeline });
        }
        Told::First
    }
}
