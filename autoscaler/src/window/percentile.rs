//! A percentile of a ring's buckets, without allocating.

use super::ring::Ring;

/// Windows of up to this many buckets are looked at whole: a minute, twice.
const SMALL: usize = 128;

/// The longest window whose percentile is exact: an hour of seconds. The newest that many buckets
/// of a longer one count.
const LARGE: usize = 3600;

/// The smallest value that at least `percentile` per cent of the known buckets do not exceed.
pub(crate) fn nearest_rank<const LANES: usize>(
    ring: &Ring<LANES>,
    lane: usize,
    percentile: f64,
) -> Option<f64> {
    if ring.known() <= SMALL {
        select(ring, lane, percentile, &mut [0.0; SMALL])
    } else {
        select(ring, lane, percentile, &mut [0.0; LARGE])
    }
}

fn select<const LANES: usize>(
    ring: &Ring<LANES>,
    lane: usize,
    percentile: f64,
    scratch: &mut [f64],
) -> Option<f64> {
    let known = ring.known().min(scratch.len());
    let scratch = scratch.get_mut(..known)?;
    for (back, slot) in scratch.iter_mut().enumerate() {
        *slot = ring.bucket(back)[lane];
    }
    let rank = (percentile / 100.0 * known as f64).ceil() as usize;
    let rank = rank.clamp(1, known.max(1)) - 1;
    if known == 0 {
        return None;
    }
    let (_, value, _) = scratch.select_nth_unstable_by(rank, f64::total_cmp);
    Some(*value)
}
