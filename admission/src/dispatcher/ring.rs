//! Instances on a ring, for consistent hashing: where a request belongs, and who is next to it.
//!
//! Each instance has many points, by its identity alone, so that every dispatcher that knows the
//! same instances has the same ring, and one more or less moves only what is next to its points.

/// Points of one instance. The shares of instances vary by about a tenth with so many; the bound on
/// their load evens that out.
const POINTS: u64 = 64;

/// How many points are passed over at most, in search of an instance with room. Where one in a
/// hundred has some, this misses it once in 10^17 times; then the least loaded is taken.
const WALK_MAX: usize = 4_096;

/// The ring.
#[derive(Debug, Clone, Default)]
pub(super) struct Ring {
    /// Points with the slot of their instance, in order.
    points: Vec<(u64, u32)>,
    /// By slot; `None` for one that has no instance.
    identities: Vec<Option<u64>>,
}

impl Ring {
    /// An instance has got this slot.
    pub(super) fn insert(&mut self, slot: u32, identity: u64) {
        if self.identities.len() <= slot as usize {
            self.identities.resize(slot as usize + 1, None);
        }
        self.identities[slot as usize] = Some(identity);
        self.points.extend(points(identity).map(|point| (point, slot)));
        // What was there is in order: this merges.
        self.points.sort();
    }

    /// The instance of this slot is gone.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(identity) = self.identities.get_mut(slot as usize)
            && identity.take().is_some()
        {
            self.points.retain(|(_, of)| *of != slot);
        }
    }

    /// Whether an instance has this slot, with all its points.
    pub(super) fn holds(&self, slot: u32) -> bool {
        let identity = self.identities.get(slot as usize).copied().flatten();
        identity.is_some_and(|identity| {
            points(identity).all(|point| self.points.binary_search(&(point, slot)).is_ok())
        })
    }

    /// The first instance from where `key` belongs that is `eligible`.
    pub(super) fn first_from(&self, key: u64, eligible: impl Fn(u32) -> bool) -> Option<u32> {
        let place = mixed(key);
        let start = self.points.partition_point(|(point, _)| *point < place);
        let (behind, ahead) = self.points.split_at(start);
        let walk = ahead.iter().chain(behind).take(WALK_MAX);
        walk.map(|(_, slot)| *slot).find(|slot| eligible(*slot))
    }
}

fn points(identity: u64) -> impl Iterator<Item = u64> {
    (0..POINTS).map(move |nth| mixed(mixed(identity).wrapping_add(nth)))
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): every bit of the result depends on every bit
/// that goes in.
pub(super) fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(identities: impl IntoIterator<Item = u64>) -> Ring {
        let mut ring = Ring::default();
        for (slot, identity) in identities.into_iter().enumerate() {
            ring.insert(u32::try_from(slot).unwrap(), identity);
        }
        ring
    }

    #[test]
    fn an_instance_that_goes_moves_only_what_was_its_own() {
        let mut ring = ring(100..110);
        let home = |ring: &Ring, key| ring.first_from(key, |_| true).unwrap();
        let before: Vec<_> = (0..10_000).map(|key| home(&ring, key)).collect();
        ring.remove(3);
        assert!(!ring.holds(3) && ring.holds(4));
        for (key, before) in (0..).zip(&before) {
            let now = home(&ring, key);
            assert!(now == *before || *before == 3, "key {key} moved from {before} to {now}");
        }
        // It comes back under another slot and takes back what it had.
        ring.insert(10, 103);
        for (key, before) in (0..).zip(before) {
            assert_eq!(home(&ring, key), if before == 3 { 10 } else { before });
        }
    }

    #[test]
    fn shares_of_the_ring_are_about_equal() {
        let ring = ring(0..10);
        let mut shares = [0_u32; 10];
        for key in 0..100_000 {
            shares[ring.first_from(key, |_| true).unwrap() as usize] += 1;
        }
        for share in shares {
            assert!((6_000..14_500).contains(&share), "{shares:?}");
        }
    }
}
