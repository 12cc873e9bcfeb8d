//! A percentile of a ring's buckets, without allocating.

use super::ring::Ring;

/// A percentile is found by keeping the largest few values while there are at most this many to
/// keep: up to the 75th percentile of a minute.
const FEW: usize = 16;

/// The longest window whose percentile is exact: an hour of seconds. The newest that many buckets
/// of a longer one count.
const MOST: usize = 3600;

/// The smallest value that at least `percentile` per cent of the known buckets do not exceed.
pub(crate) fn nearest_rank<const LANES: usize>(
    ring: &Ring<LANES>,
    lane: usize,
    percentile: f64,
) -> Option<f64> {
    let known = ring.known().min(MOST);
    if known == 0 {
        return None;
    }
    let rank = (percentile / 100.0 * known as f64).ceil() as usize;
    // The value looked for is the smallest of the so many largest.
    let kept = known - (rank.clamp(1, known) - 1);
    if kept <= FEW {
        Some(smallest_of_largest(ring.newest(known, lane), kept))
    } else {
        let mut scratch = [0.0; MOST];
        let values = scratch.get_mut(..known)?;
        values.iter_mut().zip(ring.newest(known, lane)).for_each(|(slot, value)| *slot = value);
        Some(*values.select_nth_unstable_by(rank.clamp(1, known) - 1, f64::total_cmp).1)
    }
}

/// The smallest of the `kept` largest values.
fn smallest_of_largest(values: impl Iterator<Item = f64>, kept: usize) -> f64 {
    // In falling order; what is not larger than the last is not looked at further.
    let mut largest = [f64::NEG_INFINITY; FEW];
    let last = kept.clamp(1, FEW) - 1;
    for value in values {
        if value > largest[last] {
            let mut place = last;
            while place > 0 && largest[place - 1] < value {
                largest[place] = largest[place - 1];
                place -= 1;
            }
            largest[place] = value;
        }
    }
    largest[last]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_sorting_finds(
            length in 1_u64..100,
            values in prop::collection::vec(0.0..100.0_f64, 1..150),
            percentile in 0.0..=100.0_f64,
        ) {
            let mut ring = Ring::<1>::new(length * 1000, 1000).unwrap();
            for (second, value) in values.iter().enumerate() {
                ring.record(second as i64 * 1000, [*value]);
            }
            let mut sorted: Vec<f64> = values.iter().rev().take(length as usize).copied().collect();
            sorted.sort_by(f64::total_cmp);
            let rank = (percentile / 100.0 * sorted.len() as f64).ceil() as usize;
            let expected = sorted[rank.max(1) - 1];
            prop_assert_eq!(nearest_rank(&ring, 0, percentile), Some(expected));
        }
    }
}
