//! A bounded memory of what was: the newest entries, numbered, so that a reader who comes late is
//! told how many it has missed.

use std::collections::VecDeque;

/// How much a ring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most entries.
    pub entries: usize,
    /// Most bytes of all entries together; the newest one is kept, however long it is.
    pub bytes: usize,
}

/// The newest entries of a sequence.
#[derive(Debug)]
pub struct Ring<T> {
    entries: VecDeque<(T, usize)>,
    /// The number of the oldest entry that is kept: as many have been dropped.
    first: u64,
    bytes: usize,
    bounds: Bounds,
}

/// What a reader finds from a number on.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// Entries that were dropped before they were read.
    pub missed: u64,
    /// The entries, oldest first.
    pub entries: Vec<T>,
    /// The number to read from next.
    pub next: u64,
}

impl<T: Clone> Ring<T> {
    /// An empty ring.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { entries: VecDeque::new(), first: 0, bytes: 0, bounds }
    }

    /// Adds an entry that takes so many bytes, and drops the oldest ones where there is no room.
    pub fn push(&mut self, entry: T, bytes: usize) {
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
        while self.entries.len() > 1
            && (self.entries.len() > self.bounds.entries || self.bytes > self.bounds.bytes)
        {
            self.drop_oldest();
        }
    }

    /// Drops the older half, for others that need the room.
    pub fn halve(&mut self) {
        for _ in 0..self.entries.len().div_ceil(2) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, bytes)) = self.entries.pop_front() {
            self.bytes -= bytes;
            self.first += 1;
        }
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number that the next entry gets: as many were ever added.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// At most `most` entries from number `from` on.
    #[must_use]
    pub fn read(&self, from: u64, most: usize) -> Found<T> {
        let missed = self.first.saturating_sub(from);
        let start = from.max(self.first);
        let skipped = usize::try_from(start - self.first).unwrap_or(usize::MAX);
        let entries: Vec<T> =
            self.entries.iter().skip(skipped).take(most).map(|(entry, _)| entry.clone()).collect();
        let next = start + entries.len() as u64;
        Found { missed, entries, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let mut ring = Ring::new(Bounds { entries: 3, bytes: 100 });
        for number in 0..5 {
            ring.push(number, 1);
        }
        assert_eq!(ring.read(0, 9), Found { missed: 2, entries: vec![2, 3, 4], next: 5 });
        assert_eq!(ring.read(3, 1), Found { missed: 0, entries: vec![3], next: 4 });
        assert_eq!(ring.read(5, 9), Found { missed: 0, entries: vec![], next: 5 });
        ring.push(5, 99);
        assert_eq!((ring.read(0, 9).entries, ring.bytes()), (vec![4, 5], 100));
        ring.push(6, 1_000);
        assert_eq!(ring.read(6, 9), Found { missed: 0, entries: vec![6], next: 7 });
        ring.halve();
        assert_eq!((ring.bytes(), ring.next(), ring.read(6, 9).missed), (0, 7, 1));
    }
}
