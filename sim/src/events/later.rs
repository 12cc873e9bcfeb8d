//! Events that come after the next few: unsorted, by how far off they are.
//!
//! A key is a number of 32 digits with four bits each. It lies at the level of the highest digit in
//! which it differs from a base that is not after any of them, and there in the slot of that digit.
//! So the lowest slot of the lowest level has the least keys, and what is in it goes to lower
//! levels once that slot becomes the base: a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan, 1990).
//! A key moves once for each level that it passes, which with a thousand keys are one or two.

use super::Key;

/// Bits of a digit. With four, a slot that is too full to be fetched goes to sixteen, which are
/// seldom so empty that fetching them is all that is done.
const DIGIT_BITS: u32 = 4;
/// Slots of a level.
const SLOTS: usize = 1 << DIGIT_BITS;
/// Digits of a key.
const LEVELS: usize = Key::BITS.div_ceil(DIGIT_BITS) as usize;
/// Room for so many keys is kept in an empty slot; with that in all of them it is 2 MB.
const SLOT_ROOM_KEPT: usize = 256;

/// Keys in the order of their slots only.
#[derive(Debug, Default)]
pub(super) struct Later {
    base: Key,
    /// By level, then by digit; none before there is a first key.
    slots: Vec<Vec<Key>>,
    /// A bit for each slot of a level that has keys.
    used_slots: [u16; LEVELS],
    /// A bit for each level that has keys.
    used_levels: u32,
}

/// The level of the highest digit that two keys do not share; 0 for equal ones.
#[inline]
fn level_between(one: Key, other: Key) -> usize {
    ((one ^ other | 1).ilog2() / DIGIT_BITS) as usize
}

#[inline]
fn digit_of(key: Key, level: usize) -> usize {
    (key >> (level as u32 * DIGIT_BITS)) as usize % SLOTS
}

impl Later {
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.used_levels == 0
    }

    /// Inserts a key that is not before the base.
    #[inline]
    pub(super) fn insert(&mut self, key: Key) {
        debug_assert!(key >= self.base, "a key before the base");
        let level = level_between(key, self.base);
        let digit = digit_of(key, level);
        self.slots[level * SLOTS + digit].push(key);
        self.used_slots[level] |= 1 << digit;
        self.used_levels |= 1 << level;
    }

    /// From now on keys from `base` on may be inserted.
    pub(super) fn open_to(&mut self, base: Key) {
        if self.slots.is_empty() {
            self.slots.resize_with(LEVELS * SLOTS, Vec::new);
        }
        if self.is_empty() {
            self.base = base;
        } else if base < self.base {
            self.lower_to(base);
        }
    }

    /// Puts the base before the present one. Keys above the highest digit that changes stay where
    /// they are; those below share the old base's digit there, and so its slot.
    fn lower_to(&mut self, base: Key) {
        let changes = level_between(base, self.base);
        let mut moved = Vec::new();
        while !self.is_empty() && self.lowest().0 < changes {
            let (level, digit) = self.lowest();
            moved.append(&mut std::mem::take(self.vacate(level, digit)));
        }
        self.base = base;
        moved.into_iter().for_each(|key| self.insert(key));
    }

    /// Moves the least keys to `next`, about `most` at once. Returns the end of what was moved: no
    /// key that stays is before it.
    pub(super) fn take_least(&mut self, most: usize, next: &mut Vec<Key>) -> Key {
        while !self.is_empty() {
            let (level, digit) = self.lowest();
            let width = level as u32 * DIGIT_BITS;
            // The shift drops what is beyond the highest digit, which then is all ones.
            let below = ((SLOTS as Key) << width).wrapping_sub(1);
            self.base = (self.base & !below) | ((digit as Key) << width);
            let slot = self.vacate(level, digit);
            if slot.len() <= most {
                next.append(slot);
                return self.base.saturating_add(1 << width);
            }
            let mut keys = std::mem::take(slot);
            keys.drain(..).for_each(|key| self.insert(key));
            keys.shrink_to(SLOT_ROOM_KEPT);
            self.slots[level * SLOTS + digit] = keys;
        }
        Key::MAX
    }

    /// The level and the digit of the slot with the least keys, while there are any.
    #[inline]
    fn lowest(&self) -> (usize, usize) {
        let level = self.used_levels.trailing_zeros() as usize;
        (level, self.used_slots[level].trailing_zeros() as usize)
    }

    /// Notes that a slot is not in use any more, and gives what was in it.
    #[inline]
    fn vacate(&mut self, level: usize, digit: usize) -> &mut Vec<Key> {
        self.used_slots[level] &= !(1 << digit);
        if self.used_slots[level] == 0 {
            self.used_levels &= !(1 << level);
        }
        &mut self.slots[level * SLOTS + digit]
    }
}
