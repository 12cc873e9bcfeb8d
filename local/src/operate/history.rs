//! The last minutes of a service, a sample a second.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_controller::process::ring::{Bounds, Ring};

use crate::view::Status;

/// Samples that are kept: ten minutes.
pub const SAMPLES_MAX: usize = 600;

/// What a service did within a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When it was taken, in Unix milliseconds.
    pub unix_ms: i64,
    /// Requests that came since the sample before, a second.
    pub requests_per_second: f64,
    /// Requests at instances.
    pub in_flight: u64,
    /// Requests that wait for one.
    pub queued: u32,
    /// Instances wanted; -1 before the first decision.
    pub desired: i32,
    /// Instances that take requests.
    pub ready: u32,
}

/// The last samples of one service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct History {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    samples: Ring<Sample>,
    /// When the last sample was taken, and how many requests there had been.
    last: Option<(i64, u64)>,
}

impl Default for History {
    fn default() -> Self {
        // A sample has no parts of its own that would take bytes.
        let samples = Ring::new(Bounds { entries: SAMPLES_MAX, bytes: usize::MAX });
        Self { kept: Arc::new(Mutex::new(Kept { samples, last: None })) }
    }
}

impl History {
    /// Takes a sample.
    pub(crate) fn note(&self, unix_ms: i64, status: &Status) {
        let mut kept = self.kept.lock();
        let requests = status.activator.requests;
        let requests_per_second = match kept.last {
            Some((at, before)) if unix_ms > at => {
                requests.saturating_sub(before) as f64 * 1_000.0 / (unix_ms - at) as f64
            }
            _ => 0.0,
        };
        kept.last = Some((unix_ms, requests));
        let sample = Sample {
            unix_ms,
            requests_per_second,
            in_flight: status.activator.in_flight,
            queued: status.activator.waiting,
            desired: status.revision.desired,
            ready: status.revision.ready,
        };
        kept.samples.push(sample, 0);
    }

    /// The samples, oldest first.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        self.kept.lock().samples.read(0, SAMPLES_MAX).entries
    }
}
