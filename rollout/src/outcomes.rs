//! What became of the requests of a revision: how many ended, how many failed, how long they took.

/// Buckets of service times for each doubling. Neighbours are 9 % apart.
const BUCKETS_PER_DOUBLING: f64 = 8.0;

/// What the first bucket holds at most, in microseconds. Nobody tells a tenth of a millisecond from
/// less.
const FIRST_BUCKET_US: f64 = 100.0;

/// Buckets in all: twenty doublings of a tenth of a millisecond are 105 seconds, and what takes
/// longer is in the last one.
pub const BUCKETS: usize = 161;

/// What became of requests, from some moment on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcomes {
    finished: u64,
    failed: u64,
    /// Service times by bucket, without the empty ones at the end.
    latency: Vec<u64>,
}

impl Outcomes {
    /// So many more requests have ended, `failed` of them with an error of the server. More
    /// failures than requests are taken for as many as there were requests.
    pub fn count(&mut self, finished: u64, failed: u64) {
        self.finished = self.finished.saturating_add(finished);
        self.failed = self.failed.saturating_add(failed.min(finished));
    }

    /// So many more requests took about this long in the app.
    pub fn took(&mut self, service_us: u64, requests: u64) {
        let bucket = bucket(service_us);
        if self.latency.len() <= bucket {
            self.latency.resize(bucket + 1, 0);
        }
        let counted = &mut self.latency[bucket];
        *counted = counted.saturating_add(requests);
    }

    /// Adds what others saw.
    pub fn add(&mut self, other: &Outcomes) {
        self.count(other.finished, other.failed);
        if self.latency.len() < other.latency.len() {
            self.latency.resize(other.latency.len(), 0);
        }
        for (sum, part) in self.latency.iter_mut().zip(&other.latency) {
            *sum = sum.saturating_add(*part);
        }
    }

    /// Requests that have ended, with or without a response.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.finished
    }

    /// Those of them that failed: with a status of 500 or more, or without a response.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Requests whose service time is known.
    #[must_use]
    pub fn timed(&self) -> u64 {
        self.latency.iter().sum()
    }

    /// What was added since `earlier`; `None` when this does not continue that, because somebody
    /// began to count anew.
    #[must_use]
    pub fn since(&self, earlier: &Outcomes) -> Option<Outcomes> {
        let mut latency = self.latency.clone();
        if earlier.latency.len() > latency.len() {
            return None;
        }
        for (now, before) in latency.iter_mut().zip(&earlier.latency) {
            *now = now.checked_sub(*before)?;
        }
        Some(Outcomes {
            finished: self.finished.checked_sub(earlier.finished)?,
            failed: self.failed.checked_sub(earlier.failed)?,
            latency,
        })
    }

    /// Requests in buckets above this one.
    pub(crate) fn timed_above(&self, bucket: usize) -> u64 {
        self.latency.iter().skip(bucket + 1).sum()
    }

    /// The lowest bucket that has at most `share` of the requests above it; `None` without any.
    pub(crate) fn quantile_bucket(&self, share_above: f64) -> Option<usize> {
        let all = self.timed();
        let mut above = all;
        for (bucket, requests) in self.latency.iter().enumerate() {
            above -= requests;
            if above as f64 <= all as f64 * share_above {
                return (all > 0).then_some(bucket);
            }
        }
        None
    }

    /// Halves what is known of service times, so that later requests count for more.
    pub(crate) fn fade(&mut self) {
        for requests in &mut self.latency {
            *requests /= 2;
        }
    }
}

/// The bucket of a service time.
pub(crate) fn bucket(service_us: u64) -> usize {
    let doublings = libm::log2(service_us.max(1) as f64 / FIRST_BUCKET_US);
    let bucket = libm::ceil(doublings * BUCKETS_PER_DOUBLING).max(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 64 doublings, and not below zero"
    )]
    let bucket = bucket as usize;
    bucket.min(BUCKETS - 1)
}

/// The longest service time of a bucket, in microseconds.
pub(crate) fn upper_bound_us(bucket: usize) -> f64 {
    FIRST_BUCKET_US * libm::exp2(bucket as f64 / BUCKETS_PER_DOUBLING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_the_bucket_that_holds_it() {
        for us in [1, 99, 100, 101, 1_000, 123_456, 60_000_000] {
            let bucket = bucket(us);
            assert!(us as f64 <= upper_bound_us(bucket) * 1.000_001, "{us} in {bucket}");
            assert!(bucket == 0 || us as f64 > upper_bound_us(bucket - 1), "{us} in {bucket}");
        }
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_added_can_be_told() {
        let mut first = Outcomes::default();
        first.count(10, 1);
        first.took(500, 10);
        let mut second = first.clone();
        second.count(5, 9);
        second.took(90_000, 5);
        let added = second.since(&first).expect("it continues");
        assert_eq!((added.finished(), added.failed(), added.timed()), (5, 5, 5));
        assert_eq!(first.since(&second), None, "somebody began anew");
        let mut sum = first.clone();
        sum.add(&added);
        assert_eq!(sum, second);
    }

    #[test]
    fn quantiles_are_buckets() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.quantile_bucket(0.1), None);
        outcomes.took(1_000, 90);
        outcomes.took(50_000, 10);
        assert_eq!(outcomes.quantile_bucket(0.5), Some(bucket(1_000)));
        assert_eq!(outcomes.quantile_bucket(0.1), Some(bucket(1_000)));
        assert_eq!(outcomes.quantile_bucket(0.09), Some(bucket(50_000)));
        assert_eq!(outcomes.timed_above(bucket(1_000)), 10);
        outcomes.fade();
        assert_eq!(outcomes.timed(), 50);
    }
}
