//! What became of a reporter's requests, as rollouts compare it.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use tidegate_proto::latency_digest::{HIGHEST_US, LOWEST_US, SIGNIFICANT_DIGITS};
use tidegate_proto::stats::v1 as wire;
use tidegate_rollout::Outcomes;

/// Bytes of a digest before its counts.
const HEADER_BYTES: usize = 40;

/// The outcomes of a stat's period, of at most so many requests. What is refused has failed for its
/// client, whoever's fault that was.
pub(crate) fn read(stat: &wire::Stat, requests_max: u64) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let finished = stat.finished_count.saturating_add(stat.refused_count).min(requests_max);
    let failed = stat.server_error_count.saturating_add(stat.failed_count);
    outcomes.count(finished, failed.saturating_add(stat.refused_count));
    if finished > 0
        && let Some(digest) = digest(&stat.latency_digest)
        && digest.len() <= finished
    {
        for value in digest.iter_recorded() {
            outcomes.took(value.value_iterated_to(), value.count_at_value().into());
        }
    }
    outcomes
}

/// A digest of the bounds that reporters keep; `None` for any other, which could take any amount of
/// memory.
fn digest(encoded: &[u8]) -> Option<Histogram<u32>> {
    let (header, counts) = encoded.split_at_checked(HEADER_BYTES)?;
    let counts_bytes = u32::try_from(counts.len()).ok()?.to_be_bytes();
    let is_ours = header[4..8] == counts_bytes
        && header[12..16] == u32::from(SIGNIFICANT_DIGITS).to_be_bytes()
        && header[16..24] == LOWEST_US.to_be_bytes()
        && header[24..32] == HIGHEST_US.to_be_bytes();
    // One that is damaged tells nothing, and no request hangs on it.
    is_ours.then(|| Deserializer::new().deserialize(&mut &*encoded).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::{Serializer, V2Serializer};

    use super::*;

    fn encoded(high: u64, digits: u8, values: &[u64]) -> Vec<u8> {
        let mut histogram = Histogram::<u32>::new_with_bounds(1, high, digits).expect("valid");
        for value in values {
            histogram.record(*value).expect("it is within the bounds");
        }
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).expect("memory takes it");
        bytes
    }

    fn stat(finished_count: u64, latency_digest: Vec<u8>) -> wire::Stat {
        wire::Stat { finished_count, latency_digest, ..wire::Stat::default() }
    }

    #[test]
    fn everything_that_fails_a_client_counts() {
        let some = wire::Stat { server_error_count: 2, failed_count: 3, ..stat(10, Vec::new()) };
        let outcomes = read(&wire::Stat { refused_count: 5, ..some }, 1_000);
        assert_eq!((outcomes.finished(), outcomes.failed()), (15, 10));
        // One that does not count what ends tells nothing but its refusals.
        let older = wire::Stat { failed_count: 3, ..stat(0, Vec::new()) };
        assert_eq!(read(&older, 1_000), Outcomes::default());
        assert_eq!(read(&stat(u64::MAX, Vec::new()), 1_000).finished(), 1_000);
    }

    #[test]
    fn service_times_come_over() {
        let digest = encoded(HIGHEST_US, SIGNIFICANT_DIGITS, &[3_000, 3_000, 70_000_000]);
        assert_eq!(read(&stat(4, digest.clone()), 1_000).timed(), 3);
        assert_eq!(read(&stat(2, digest), 1_000).timed(), 0, "more times than requests");
    }

    #[test]
    fn a_digest_of_other_bounds_or_of_no_sense_is_not_read() {
        for bytes in [encoded(u64::MAX / 2, 2, &[3]), encoded(HIGHEST_US, 3, &[3])] {
            assert_eq!(read(&stat(9, bytes), 1_000).timed(), 0);
        }
        let good = encoded(HIGHEST_US, SIGNIFICANT_DIGITS, &[3_000; 9]);
        for length in 0..good.len() {
            assert_eq!(read(&stat(9, good[..length].to_vec()), 1_000).timed(), 0, "{length}");
        }
        for at in 0..good.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut damaged = good.clone();
                damaged[at] ^= bits;
                // Whatever it says, it takes no more memory than a good one and counts no more.
                assert!(read(&stat(9, damaged), 1_000).timed() <= 9, "byte {at}");
            }
        }
    }
}
