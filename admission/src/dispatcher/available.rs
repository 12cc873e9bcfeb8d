//! The available instances, indexed so that a policy's choice is quick.

use core::hint::select_unpredictable;

use super::policy::{Draws, Policy, load_bound};
use super::ring::Ring;
use crate::invariants::Violation;

/// Marks the absence of a neighbour in a linked list, or of a position.
const NONE: u32 = u32::MAX;

/// The available instances (ready, and below their limit), indexed for one policy.
#[derive(Debug, Clone)]
pub(super) enum Available {
    Levels(Levels),
    First(Bits),
    Next { bits: Bits, last: Option<u32> },
    Drawn { dense: Dense, draws: Draws },
    Hashed { ring: Ring, levels: Levels },
}

/// What a policy may choose by, beside the load of each instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// What the request is about, if that is known.
    pub(super) affinity: Option<u64>,
    /// Requests in flight at all instances, without this one.
    pub(super) in_flight: u64,
    /// Instances that are ready.
    pub(super) ready: u32,
}

impl Available {
    pub(super) fn new(policy: Policy) -> Self {
        match policy {
            Policy::LeastLoaded => Self::Levels(Levels::default()),
            Policy::FirstAvailable => Self::First(Bits::default()),
            Policy::RoundRobin => Self::Next { bits: Bits::default(), last: None },
            Policy::RandomOfTwo { seed } => {
                Self::Drawn { dense: Dense::default(), draws: Draws::new(seed) }
            }
            Policy::ConsistentHash => {
                Self::Hashed { ring: Ring::default(), levels: Levels::default() }
            }
        }
    }

    /// An instance has got this slot, available or not.
    pub(super) fn add(&mut self, slot: u32, identity: u64) {
        if let Self::Hashed { ring, .. } = self {
            ring.insert(slot, identity);
        }
    }

    /// The instance of this slot is gone.
    pub(super) fn remove(&mut self, slot: u32) {
        if let Self::Hashed { ring, .. } = self {
            ring.remove(slot);
        }
    }

    /// The load of a slot changed; `None` is unavailable.
    pub(super) fn update(&mut self, slot: u32, before: Option<u32>, after: Option<u32>) {
        match self {
            Self::Levels(levels) | Self::Hashed { levels, .. } => {
                if before != after {
                    if let Some(load) = before {
                        levels.unlink(slot, load);
                    }
                    if let Some(load) = after {
                        levels.push_back(slot, load);
                    }
                }
            }
            Self::First(bits) | Self::Next { bits, .. } => match (before, after) {
                (None, Some(_)) => bits.insert(slot),
                (Some(_), None) => bits.remove(slot),
                _ => {}
            },
            Self::Drawn { dense, .. } => match (before, after) {
                (None, Some(load)) => dense.insert(slot, load),
                (Some(_), Some(load)) => dense.set_load(slot, load),
                (Some(_), None) => dense.remove(slot),
                (None, None) => {}
            },
        }
    }

    /// The slot that the policy chooses; `None` if none is available.
    pub(super) fn choose(
        &mut self,
        circumstances: Circumstances,
        load: impl Fn(u32) -> u32,
    ) -> Option<u32> {
        match self {
            Self::Levels(levels) => levels.least(),
            Self::First(bits) => bits.first_from(0),
            Self::Next { bits, last } => {
                let from = last.map_or(0, |last| last + 1);
                let chosen = bits.first_from(from).or_else(|| bits.first_from(0))?;
                *last = Some(chosen);
                Some(chosen)
            }
            Self::Drawn { dense, draws } => {
                let count = u32::try_from(dense.members.len()).unwrap_or(NONE);
                if count < 2 {
                    return dense.members.first().map(|member| member.slot);
                }
                let first = draws.below(count);
                // The second is drawn among the others, so that two different ones are compared.
                let second = first + 1 + draws.below(count - 1);
                let second = if second < count { second } else { second - count };
                let first = dense.members[first as usize];
                let second = dense.members[second as usize];
                // Which of two is less loaded nobody can predict.
                Some(select_unpredictable(second.load < first.load, second.slot, first.slot))
            }
            Self::Hashed { ring, levels } => {
                let least = levels.least()?;
                let Some(key) = circumstances.affinity else { return Some(least) };
                let bound = load_bound(circumstances.in_flight, circumstances.ready);
                let has_room = |slot| levels.holds(slot) && load(slot) < bound;
                Some(ring.first_from(key, has_room).unwrap_or(least))
            }
        }
    }

    /// Compares with `truth`: for each slot its load, if it is available.
    pub(super) fn verify(&self, truth: impl Iterator<Item = Option<u32>>) -> Result<(), Violation> {
        for (slot, available_at) in truth.enumerate() {
            let slot = u32::try_from(slot).unwrap_or(NONE);
            let known = match self {
                Self::Levels(levels) | Self::Hashed { levels, .. } => available_at.map_or_else(
                    || !levels.holds(slot),
                    |load| levels.iter(load).any(|held| held == slot),
                ),
                Self::First(bits) | Self::Next { bits, .. } => {
                    bits.get(slot) == available_at.is_some()
                }
                Self::Drawn { dense, .. } => dense.load_of(slot) == available_at,
            };
            let is_on_ring = match (self, available_at) {
                (Self::Hashed { ring, .. }, Some(_)) => ring.holds(slot),
                _ => true,
            };
            if !known || !is_on_ring {
                return Err(Violation::IndexOutOfDate { slot });
            }
        }
        Ok(())
    }
}

/// Available slots by load: a queue for each load, and a bit for each queue that is not empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels {
    /// Head and tail of the queue of each load.
    queues: Vec<(u32, u32)>,
    /// Neighbours ahead and behind of each slot.
    links: Vec<(u32, u32)>,
    held: Bits,
    occupied: Bits,
    /// Every queue below this load is empty.
    floor: u32,
}

impl Levels {
    fn least(&mut self) -> Option<u32> {
        let level = self.occupied.first_from(self.floor)?;
        self.floor = level;
        Some(self.queues[level as usize].0)
    }

    fn push_back(&mut self, slot: u32, load: u32) {
        if self.queues.len() <= load as usize {
            self.queues.resize(load as usize + 1, (NONE, NONE));
        }
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, (NONE, NONE));
        }
        let (head, tail) = self.queues[load as usize];
        self.links[slot as usize] = (tail, NONE);
        match self.links.get_mut(tail as usize) {
            Some(last) => last.1 = slot,
            None => self.occupied.insert(load),
        }
        self.queues[load as usize] = (if head == NONE { slot } else { head }, slot);
        self.held.insert(slot);
        self.floor = self.floor.min(load);
    }

    fn unlink(&mut self, slot: u32, load: u32) {
        let (ahead, behind) = self.links[slot as usize];
        let queue = &mut self.queues[load as usize];
        match self.links.get_mut(ahead as usize) {
            Some(neighbour) => neighbour.1 = behind,
            None => queue.0 = behind,
        }
        match self.links.get_mut(behind as usize) {
            Some(neighbour) => neighbour.0 = ahead,
            None => queue.1 = ahead,
        }
        if queue.0 == NONE {
            self.occupied.remove(load);
        }
        self.held.remove(slot);
    }

    fn holds(&self, slot: u32) -> bool {
        self.held.get(slot)
    }

    fn iter(&self, load: u32) -> impl Iterator<Item = u32> + '_ {
        let mut next = self.queues.get(load as usize).map_or(NONE, |queue| queue.0);
        core::iter::from_fn(move || {
            let slot = next;
            next = self.links.get(slot as usize)?.1;
            Some(slot)
        })
    }
}

/// A growing set of small numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn insert(&mut self, index: u32) {
        let word = (index / 64) as usize;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (index % 64);
    }

    fn remove(&mut self, index: u32) {
        if let Some(word) = self.0.get_mut((index / 64) as usize) {
            *word &= !(1 << (index % 64));
        }
    }

    fn get(&self, index: u32) -> bool {
        self.0.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The smallest member that is not below `from`.
    fn first_from(&self, from: u32) -> Option<u32> {
        let mut word = from / 64;
        let mut mask = u64::MAX << (from % 64);
        while let Some(bits) = self.0.get(word as usize) {
            let found = bits & mask;
            if found != 0 {
                return Some(word * 64 + found.trailing_zeros());
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }
}

/// A set to draw from: members without gaps, and the position of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Dense {
    members: Vec<Member>,
    positions: Vec<u32>,
}

/// An available slot with its load, so that two are compared without a look at the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    slot: u32,
    load: u32,
}

impl Dense {
    fn insert(&mut self, slot: u32, load: u32) {
        if self.positions.len() <= slot as usize {
            self.positions.resize(slot as usize + 1, NONE);
        }
        self.positions[slot as usize] = u32::try_from(self.members.len()).unwrap_or(NONE);
        self.members.push(Member { slot, load });
    }

    fn remove(&mut self, slot: u32) {
        let position = core::mem::replace(&mut self.positions[slot as usize], NONE);
        self.members.swap_remove(position as usize);
        if let Some(moved) = self.members.get(position as usize) {
            self.positions[moved.slot as usize] = position;
        }
    }

    fn set_load(&mut self, slot: u32, load: u32) {
        self.members[self.positions[slot as usize] as usize].load = load;
    }

    fn load_of(&self, slot: u32) -> Option<u32> {
        let position = *self.positions.get(slot as usize)?;
        self.members.get(position as usize).map(|member| member.load)
    }
}
