//! Consistent choice: which of many serve one key, so that everybody who asks gets the same
//! answer and a small change of the candidates changes little.
//!
//! Knative picks a revision's activators and the owner of a revision's bucket this way. Each
//! candidate sits at an angle on a circle of [`UNIVERSE`] positions that depends on the key; the
//! choice walks round the circle from a start and by a step that depend on the key as well.
//!
//! ```
//! use tidegate_autoscaler::subset::choose;
//!
//! let activators = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
//! let chosen = choose(&activators, 2, "my-revision")?;
//! assert_eq!(chosen.len(), 2);
//! # Ok::<(), tidegate_autoscaler::subset::TooManyCandidates>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Positions on the circle.
pub const UNIVERSE: usize = 2048;

const START_SALT: &str = "start-angle-salt";
const STEP_SALT: &str = "step-angle-salt";

/// More candidates than there are positions for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyCandidates {
    /// How many there were.
    pub count: usize,
}

impl fmt::Display for TooManyCandidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subset: {} candidates, expected at most {UNIVERSE} to choose from", self.count)
    }
}

impl std::error::Error for TooManyCandidates {}

/// Chooses `count` of the candidates for `key`, in sorted order; all of them when there are not
/// more than that. Candidates count once however often they are named.
///
/// # Errors
///
/// [`TooManyCandidates`] when there are more than [`UNIVERSE`] to choose from.
pub fn choose<'a>(
    candidates: &[&'a str],
    count: usize,
    key: &str,
) -> Result<Vec<&'a str>, TooManyCandidates> {
    let sorted: BTreeSet<&str> = candidates.iter().copied().collect();
    if count >= sorted.len() {
        return Ok(sorted.into_iter().collect());
    }
    if sorted.len() > UNIVERSE {
        return Err(TooManyCandidates { count: sorted.len() });
    }
    let circle: Vec<(usize, &str)> = seats(&sorted, key).into_iter().collect();
    let step = angle(fnv1a(key.bytes().chain(STEP_SALT.bytes())));
    let mut at = angle(fnv1a(key.bytes().chain(START_SALT.bytes())));
    let mut taken = vec![false; circle.len()];
    for _ in 0..count {
        let first = circle.partition_point(|&(seat, _)| seat < at) % circle.len();
        let free = (first..circle.len()).chain(0..first).find(|&index| !taken[index]);
        if let Some(index) = free {
            taken[index] = true;
        }
        at = (at + step) % UNIVERSE;
    }
    let chosen = circle.iter().zip(&taken).filter(|&(_, &taken)| taken).map(|(&(_, name), _)| name);
    let chosen: BTreeSet<&str> = chosen.collect();
    Ok(chosen.into_iter().collect())
}

/// The one of the candidates that owns `key`; none when there are no candidates.
///
/// # Errors
///
/// As [`choose`].
pub fn owner<'a>(candidates: &[&'a str], key: &str) -> Result<Option<&'a str>, TooManyCandidates> {
    Ok(choose(candidates, 1, key)?.first().copied())
}

/// The name of bucket `index` of `count`, as Knative names its leases.
pub fn bucket_name(index: usize, count: usize) -> String {
    format!("autoscaler-bucket-{index:02}-of-{count:02}")
}

/// Where each candidate sits. A seat that is taken is left for another by hashing again with the
/// hash so far appended.
fn seats<'a>(sorted: &BTreeSet<&'a str>, key: &str) -> BTreeMap<usize, &'a str> {
    let mut seats = BTreeMap::new();
    for &name in sorted {
        let mut text = format!("{name}{key}");
        let mut hash = fnv1a(text.bytes());
        while seats.contains_key(&angle(hash)) {
            text.push_str(&format!("{hash:x}"));
            hash = fnv1a(text.bytes());
        }
        seats.insert(angle(hash), name);
    }
    seats
}

/// A hash as a position on the circle.
fn angle(hash: u64) -> usize {
    // The remainder is below 2048, so it fits any usize.
    (hash % UNIVERSE as u64) as usize
}

/// The 64-bit FNV-1a hash of `bytes`: the same in every process, spread well, and no secret.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.into_iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_algorithm() {
        assert_eq!(fnv1a("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn chooses_as_many_as_asked_and_always_the_same() {
        let names: Vec<String> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
        let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut reversed = candidates.clone();
        reversed.reverse();
        for count in [0, 1, 7, 150, 199, 200, 500] {
            let chosen = choose(&candidates, count, "ns/rev").unwrap();
            assert_eq!(chosen.len(), count.min(200));
            assert!(chosen.is_sorted());
            assert_eq!(choose(&reversed, count, "ns/rev").unwrap(), chosen);
        }
    }

    #[test]
    fn losing_a_candidate_moves_few_keys() {
        let names: Vec<String> = (0..10).map(|n| bucket_name(n, 10)).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let moved = (0..1000).filter(|n| {
            let key = format!("ns/rev-{n}");
            owner(&all, &key) != owner(&all[1..], &key)
        });
        let moved = moved.count();
        assert!((50..200).contains(&moved), "{moved} of 1000 keys moved, expected about 100");
    }

    #[test]
    fn a_full_circle_ends_and_a_fuller_one_is_refused() {
        let names: Vec<String> = (0..=UNIVERSE).map(|n| n.to_string()).collect();
        let candidates: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(choose(&candidates[..UNIVERSE], 3, "k").map(|chosen| chosen.len()), Ok(3));
        let count = UNIVERSE + 1;
        assert_eq!(choose(&candidates, 3, "k"), Err(TooManyCandidates { count }));
        assert_eq!(owner(&[], "k"), Ok(None));
    }
}
