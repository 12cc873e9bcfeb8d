//! Which of the available instances gets the next request.

/// The policies. All are deterministic, and choose among available instances only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The instance with the fewest requests in flight. Among equals the one that has had that few
    /// for longest goes first, so that equals take turns.
    #[default]
    LeastLoaded,
    /// The first available one, in the order in which slots were given to instances. Packs requests
    /// together, so that the last instances become idle and can be removed. Knative's rule up to a
    /// container concurrency of three.
    FirstAvailable,
    /// One after the other, skipping unavailable ones. Knative's rule above three.
    RoundRobin,
    /// Two drawn at random, and the less loaded of them. Knative's rule without a limit.
    RandomOfTwo {
        /// The seed of the generator; the same seed draws the same instances.
        seed: u64,
    },
    /// Requests with one [`affinity`](crate::Attributes::affinity) go to one instance, as long as
    /// that has no more than its share: consistent hashing with bounded loads (Mirrokni, Thorup,
    /// Zadimoghaddam 2018). A request without one goes to the least loaded.
    ConsistentHash,
}

/// What an instance may have in flight beyond the average before requests go past it, in percent.
/// Little of the affinity is lost with it, and no instance is far from the average.
const LOAD_BOUND_PERCENT: u64 = 125;

/// With so few in flight an instance is never passed over: an average below one would part what
/// belongs together although nobody is busy.
const LOAD_FLOOR: u64 = 4;

/// The load from which on an instance is passed over, with so many in flight at all of them.
pub(super) fn load_bound(in_flight: u64, ready: u32) -> u32 {
    let bound = ((in_flight + 1) * LOAD_BOUND_PERCENT).div_ceil(100 * u64::from(ready.max(1)));
    u32::try_from(bound.max(LOAD_FLOOR)).unwrap_or(u32::MAX)
}

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, and good enough to spread load.
#[derive(Debug, Clone)]
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is not zero. The bias of the multiplication is below 2^-32.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // The high half of a 32 by 32 bit product always fits 32 bits.
        (((bits >> 32) * u64::from(bound)) >> 32) as u32
    }
}
