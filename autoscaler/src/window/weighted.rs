//! The exponentially weighted sum of a ring's buckets, in constant time.
//!
//! The sum is `k * (b0 + keep*b1 + keep^2*b2 + ...)` over the buckets from the newest to the
//! oldest, with `keep = 1 - k`. A running sum that subtracts what expires would be wrong by as
//! much as the largest value ever seen is rounded, so nothing is ever subtracted here. Instead
//! the buckets are split in two, as a queue is made of two stacks:
//!
//! ```text
//!   oldest                       pivot            newest
//!   |------------- front ---------|----- back ------|
//!   tails: weighted sums of       back: weighted sum of all of them,
//!   i..=pivot, for every i        grows with the newest
//! ```
//!
//! The sum is `back + keep^(newest - pivot) * tails[oldest]`. Once per length of the window the
//! front has expired and is made anew from the ring, which is what makes the cost constant on
//! average. Additions of numbers of one sign keep the result within a few hundred roundings of
//! the exact sum.

use super::ring::{Change, Ring};
use super::smoothing;

/// Weights over a ring: the newest bucket counts `k`, each older one `1 - k` times as much.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights<const LANES: usize> {
    coefficient: f64,
    keep: f64,
    back: [f64; LANES],
    /// `keep` to the power of the distance between the pivot and the newest bucket.
    front_weight: f64,
    /// How many buckets the pivot is behind the newest.
    pivot_behind: usize,
    /// By the distance of their first bucket from the pivot.
    tails: Box<[[f64; LANES]]>,
}

impl<const LANES: usize> Weights<LANES> {
    /// Weights for what is in `ring`.
    pub(crate) fn new(ring: &Ring<LANES>) -> Weights<LANES> {
        let coefficient = smoothing::coefficient(ring.count());
        let mut weights = Weights {
            coefficient,
            keep: 1.0 - coefficient,
            back: [0.0; LANES],
            front_weight: 1.0,
            pivot_behind: 1,
            tails: vec![[0.0; LANES]; ring.count()].into_boxed_slice(),
        };
        weights.pivot_at_newest(ring);
        weights
    }

    /// The weight of the newest bucket.
    pub(crate) fn coefficient(&self) -> f64 {
        self.coefficient
    }

    /// Takes note of a record into `ring`.
    pub(crate) fn follow(&mut self, ring: &Ring<LANES>, change: Change, values: [f64; LANES]) {
        match change {
            Change::Ignored => {}
            Change::Restarted => self.pivot_at_newest(ring),
            Change::Advanced(steps) => {
                self.pivot_behind += steps as usize;
                if self.pivot_behind > ring.count() {
                    return self.pivot_at_newest(ring);
                }
                let fade = power(self.keep, steps);
                self.front_weight *= fade;
                for (back, value) in self.back.iter_mut().zip(values) {
                    *back = *back * fade + value;
                }
            }
            Change::Added(0) => {
                for (back, value) in self.back.iter_mut().zip(values) {
                    *back += value;
                }
            }
            Change::Added(behind) => self.add_late(ring, behind as usize, values),
        }
    }

    /// Adds to a bucket that is not the newest.
    fn add_late(&mut self, ring: &Ring<LANES>, behind: usize, values: [f64; LANES]) {
        let Some(before_pivot) = behind.checked_sub(self.pivot_behind) else {
            let weight = power(self.keep, behind as u64);
            for (back, value) in self.back.iter_mut().zip(values) {
                *back += value * weight;
            }
            return;
        };
        let weight = power(self.keep, before_pivot as u64);
        let live = ring.count() - self.pivot_behind;
        for tail in self.tails.iter_mut().take(live).skip(before_pivot) {
            for (tail, value) in tail.iter_mut().zip(values) {
                *tail += value * weight;
            }
        }
    }

    /// Makes everything but the newest bucket the front.
    fn pivot_at_newest(&mut self, ring: &Ring<LANES>) {
        self.pivot_behind = 1;
        self.front_weight = self.keep;
        self.back = *ring.bucket(0);
        // The tail that starts one bucket earlier holds one bucket more, which weighs less the
        // older it is.
        let mut sum = [0.0; LANES];
        let mut weight = 1.0;
        for (behind, tail) in (1..ring.count()).zip(&mut self.tails) {
            for (sum, value) in sum.iter_mut().zip(ring.bucket(behind)) {
                *sum += value * weight;
            }
            *tail = sum;
            weight *= self.keep;
        }
    }

    /// The weighted sum of one lane, as seen `age` buckets after the newest.
    pub(crate) fn average(&self, ring: &Ring<LANES>, age: i64, lane: usize) -> f64 {
        if ring.is_expired(age) {
            return 0.0;
        }
        let behind = age.max(0) as usize;
        // Buckets that still count: the newest so many.
        let live = ring.count().saturating_sub(behind);
        if live < self.pivot_behind {
            // Something in the back has expired, and nothing can be taken from there.
            return self.sum_all(ring, behind, lane);
        }
        let front = match live.checked_sub(self.pivot_behind + 1) {
            Some(oldest) => self.tails[oldest][lane],
            None => 0.0,
        };
        let weight = self.coefficient * power(self.keep, behind as u64);
        (self.back[lane] + self.front_weight * front) * weight
    }

    /// The sum as it is defined, bucket by bucket.
    fn sum_all(&self, ring: &Ring<LANES>, behind: usize, lane: usize) -> f64 {
        let mut weight = self.coefficient * power(self.keep, behind as u64);
        let mut sum = 0.0;
        for back in 0..ring.count().saturating_sub(behind) {
            sum += ring.bucket(back)[lane] * weight;
            weight *= self.keep;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any order and any times: the constant-time sum is the sum as it is defined.
        #[test]
        fn the_fast_sum_is_the_defined_sum(
            buckets in 1_u64..70,
            granularity_s in 1_u64..4,
            steps in prop::collection::vec((-8_i64..20, 0.0..1e6_f64, 0_i64..90), 1..200),
        ) {
            let granularity_ms = granularity_s * 1000;
            let mut ring = Ring::<1>::new(buckets * granularity_ms, granularity_ms).unwrap();
            let mut weights = Weights::new(&ring);
            let mut at_ms = 946_684_800_000_i64;
            for (step, value, look) in steps {
                at_ms += step * 700;
                let change = ring.record(at_ms, [value]);
                weights.follow(&ring, change, [value]);
                let seen_ms = at_ms + look * 500;
                let fast = weights.average(&ring, ring.age(seen_ms), 0);
                let behind = ring.age(seen_ms).max(0) as usize;
                let defined = match ring.is_empty(seen_ms) {
                    true => 0.0,
                    false => weights.sum_all(&ring, behind, 0),
                };
                prop_assert!((fast - defined).abs() <= 1e-12 * defined, "{fast} {defined}");
            }
        }
    }
}
