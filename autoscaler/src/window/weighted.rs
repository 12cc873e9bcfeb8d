//! The exponentially weighted sum of a ring's buckets.

use super::ring::{Change, Ring};
use super::smoothing;

/// Weights over a ring: the newest bucket counts `k`, each older one `1 - k` times as much.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights<const LANES: usize> {
    coefficient: f64,
}

impl<const LANES: usize> Weights<LANES> {
    /// Weights for a ring of `buckets` buckets.
    pub(crate) fn new(buckets: usize) -> Weights<LANES> {
        Weights { coefficient: smoothing::coefficient(buckets) }
    }

    /// The weight of the newest bucket.
    pub(crate) fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// Takes note of a record into `ring`.
    pub(crate) fn follow(&mut self, _ring: &Ring<LANES>, _change: Change, _values: [f64; LANES]) {}

    /// Takes note of everything in `ring`.
    pub(crate) fn rebuild(&mut self, _ring: &Ring<LANES>) {}

    /// The weighted sum of one lane.
    pub(crate) fn average(&self, ring: &Ring<LANES>, at_ms: i64, lane: usize) -> f64 {
        if ring.is_empty(at_ms) {
            return 0.0;
        }
        let keep = 1.0 - self.coefficient;
        let behind = ring.buckets_since_last(at_ms);
        let mut weight = self.coefficient * power(keep, behind);
        let mut sum = 0.0;
        for back in 0..ring.count().saturating_sub(behind as usize) {
            sum += ring.bucket(back)[lane] * weight;
            weight *= keep;
        }
        sum
    }
}

/// `base` to the power of `exponent` by squaring, which is how Knative rounds it.
fn power(base: f64, mut exponent: u64) -> f64 {
    let mut result = 1.0;
    let mut square = base;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}
