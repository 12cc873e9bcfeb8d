//! Events counted by size, in buckets whose bounds are fixed: a record is two atomic additions, and
//! nothing piles up between two scrapes.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{GaugeFn, HistogramFn};

use crate::family::Buckets;

/// Bounds of durations in seconds, OpenTelemetry's for HTTP.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Bounds of everything else, OpenTelemetry's default.
const DEFAULT: &[f64] = &[
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0,
    10000.0,
];

/// The bounds that OpenTelemetry gives to a histogram of this name, by the unit at its end.
#[must_use]
pub fn bounds_of(name: &str) -> &'static [f64] {
    if name.ends_with("_seconds") { SECONDS } else { DEFAULT }
}

/// One series of a histogram.
#[derive(Debug)]
pub(crate) struct BucketCounts {
    bounds: &'static [f64],
    /// Events of each bucket by itself; the last one has no bound.
    counts: Box<[AtomicU64]>,
    /// The bits of a floating point number.
    sum: AtomicU64,
}

impl BucketCounts {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    pub(crate) fn snapshot(&self) -> Buckets {
        let mut count = 0;
        let cumulative = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let cumulative: Vec<u64> = cumulative.collect();
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        Buckets { bounds: self.bounds, cumulative, sum, count }
    }
}

impl HistogramFn for BucketCounts {
    fn record(&self, value: f64) {
        // A sum that is not a number once would stay so for ever.
        if value.is_nan() {
            return;
        }
        // A bound belongs to the bucket below it, by the definition of Prometheus' `le`.
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.increment(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_bucket_below_it() {
        let counts = BucketCounts::new(bounds_of("a_seconds"));
        for value in [0.0, 0.005, 0.006, 10.0, 11.0, f64::NAN] {
            counts.record(value);
        }
        let buckets = counts.snapshot();
        assert_eq!(buckets.cumulative[..2], [2, 3]);
        assert_eq!(buckets.cumulative[13..], [4, 5]);
        assert_eq!((buckets.count, buckets.sum), (5, 21.011));
    }

    #[test]
    fn no_record_is_lost_between_threads() {
        let counts = BucketCounts::new(bounds_of("a_bytes"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|value| counts.record(f64::from(value % 10))));
            }
        });
        let buckets = counts.snapshot();
        assert_eq!((buckets.count, buckets.sum), (40_000, 180_000.0));
    }
}
