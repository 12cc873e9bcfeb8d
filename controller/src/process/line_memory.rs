//! The last lines of every instance, for readers who come later: bounded for each instance and in
//! all. No instance ever waits for a reader.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::log::ENDED_KEPT;
use super::output_stream::OutputStream;
use super::ring::{Bounds, Ring};
use crate::identity::InstanceName;

/// What is kept of one instance: some minutes of a server that logs each request.
pub const OF_INSTANCE: Bounds = Bounds { entries: 2_000, bytes: 512 * 1_024 };

/// Bytes that are kept of all instances together. Beyond it the instance with the most gives half.
pub const BYTES_IN_ALL_MAX: usize = 32 << 20;

/// What a line takes beyond its text: its entry, and the text's own administration.
const LINE_OVERHEAD_BYTES: usize = 64;

/// A line that an instance wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLine {
    /// Its place among the lines of all instances.
    pub sequence: u64,
    /// When it was read, in Unix milliseconds.
    pub unix_ms: i64,
    /// Which of the instance's streams it was written to.
    pub stream: OutputStream,
    /// The line without its end.
    pub text: Arc<str>,
}

/// Where a reader is, for each instance.
#[derive(Debug, Clone, Default)]
pub struct Cursor {
    next: BTreeMap<InstanceName, u64>,
}

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLine {
    /// The instance.
    pub instance: InstanceName,
    /// Lines that it wrote before this one and that were dropped before they were read.
    pub missed: u64,
    /// The line; `None` where only some were missed.
    pub line: Option<KeptLine>,
}

/// The last lines of every instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LineMemory {
    kept: Arc<Mutex<Kept>>,
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    instances: BTreeMap<InstanceName, Ring<KeptLine>>,
    ended: VecDeque<InstanceName>,
    sequence: u64,
    bytes: usize,
}

impl Default for LineMemory {
    fn default() -> Self {
        Self { kept: Arc::default(), news: watch::Sender::new(0) }
    }
}

impl LineMemory {
    /// Keeps a line.
    pub(super) fn push(
        &self,
        instance: &InstanceName,
        stream: OutputStream,
        unix_ms: i64,
        text: &str,
    ) {
        let mut kept = self.kept.lock();
        kept.sequence += 1;
        let line = KeptLine { sequence: kept.sequence, unix_ms, stream, text: text.into() };
        let sequence = line.sequence;
        kept.push(instance, line, text.len() + LINE_OVERHEAD_BYTES);
        drop(kept);
        self.news.send_replace(sequence);
    }

    /// Notes that an instance writes no more.
    pub(super) fn ended(&self, instance: &InstanceName) {
        let mut kept = self.kept.lock();
        if !kept.instances.contains_key(instance) {
            return;
        }
        kept.ended.push_back(instance.clone());
        while kept.ended.len() > ENDED_KEPT {
            let Some(oldest) = kept.ended.pop_front() else { break };
            if let Some(ring) = kept.instances.remove(&oldest) {
                kept.bytes -= ring.bytes();
            }
        }
    }

    /// Changes with every line.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// At most `most` lines of those instances that are `meant` from where the cursor is, in the
    /// order in which they were written.
    #[must_use]
    pub fn read(
        &self,
        cursor: &mut Cursor,
        most: usize,
        meant: impl Fn(&InstanceName) -> bool,
    ) -> Vec<ReadLine> {
        let kept = self.kept.lock();
        cursor.next.retain(|instance, _| kept.instances.contains_key(instance));
        let mut found = Vec::new();
        for (instance, ring) in kept.instances.iter().filter(|(instance, _)| meant(instance)) {
            let from = cursor.next.get(instance).copied().unwrap_or(0);
            let read = ring.read(from, most);
            if read.missed > 0 && read.entries.is_empty() {
                let instance = instance.clone();
                cursor.next.insert(instance.clone(), read.next);
                found.push(ReadLine { instance, missed: read.missed, line: None });
                continue;
            }
            for (number, line) in read.entries.into_iter().enumerate() {
                let missed = if number == 0 { read.missed } else { 0 };
                found.push(ReadLine { instance: instance.clone(), missed, line: Some(line) });
            }
        }
        drop(kept);
        found.sort_by_key(|read| read.line.as_ref().map_or(0, |line| line.sequence));
        found.truncate(most);
        for read in &found {
            if read.line.is_some() {
                *cursor.next.entry(read.instance.clone()).or_insert(0) += read.missed + 1;
            }
        }
        found
    }

    /// Moves the cursor past everything that is there.
    pub fn skip(&self, cursor: &mut Cursor) {
        let kept = self.kept.lock();
        let next = kept.instances.iter().map(|(instance, ring)| (instance.clone(), ring.next()));
        cursor.next = next.collect();
    }
}

impl Kept {
    fn push(&mut self, instance: &InstanceName, line: KeptLine, bytes: usize) {
        let ring = match self.instances.get_mut(instance) {
            Some(ring) => ring,
            None => {
                self.instances.entry(instance.clone()).or_insert_with(|| Ring::new(OF_INSTANCE))
            }
        };
        let before = ring.bytes();
        ring.push(line, bytes);
        self.bytes = self.bytes - before + ring.bytes();
        while self.bytes > BYTES_IN_ALL_MAX {
            let Some(largest) = self.instances.values_mut().max_by_key(|ring| ring.bytes()) else {
                return;
            };
            let before = largest.bytes();
            largest.halve();
            self.bytes = self.bytes - before + largest.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> InstanceName {
        InstanceName::new(&format!("web-{number}")).expect("valid")
    }

    fn write(memory: &LineMemory, instance: u64, text: &str) {
        memory.push(&name(instance), OutputStream::Stdout, 0, text);
    }

    fn texts(read: &[ReadLine]) -> Vec<String> {
        read.iter().filter_map(|read| Some(read.line.as_ref()?.text.to_string())).collect()
    }

    #[test]
    fn lines_are_read_in_their_order_and_once() {
        let memory = LineMemory::default();
        let mut cursor = Cursor::default();
        for (instance, text) in [(2, "a"), (1, "b"), (2, "c"), (1, "d")] {
            write(&memory, instance, text);
        }
        assert_eq!(texts(&memory.read(&mut cursor, 3, |_| true)), ["a", "b", "c"]);
        assert_eq!(texts(&memory.read(&mut cursor, 3, |_| true)), ["d"]);
        assert!(memory.read(&mut cursor, 3, |_| true).is_empty());
        let mut only = Cursor::default();
        assert_eq!(texts(&memory.read(&mut only, 9, |one| *one == name(1))), ["b", "d"]);
        let mut late = Cursor::default();
        memory.skip(&mut late);
        write(&memory, 1, "e");
        assert_eq!(texts(&memory.read(&mut late, 9, |_| true)), ["e"]);
    }

    #[test]
    fn what_a_slow_reader_misses_is_counted_to_the_line() {
        let memory = LineMemory::default();
        let mut cursor = Cursor::default();
        let (mut shown, mut missed, mut written) = (0, 0, 0);
        for round in 0..10 {
            for number in 0..700 * round {
                write(&memory, number % 3, &"x".repeat(100));
                written += 1;
            }
            for read in memory.read(&mut cursor, 500, |_| true) {
                shown += u64::from(read.line.is_some());
                missed += read.missed;
            }
        }
        loop {
            let read = memory.read(&mut cursor, 500, |_| true);
            if read.is_empty() {
                break;
            }
            shown += read.iter().filter(|read| read.line.is_some()).count() as u64;
            missed += read.iter().map(|read| read.missed).sum::<u64>();
        }
        assert_eq!(shown + missed, written);
        assert!(missed > 0);
    }

    #[test]
    fn what_is_kept_is_bounded_in_all_and_of_what_has_ended() {
        let memory = LineMemory::default();
        for instance in 0..200 {
            for _ in 0..200 {
                write(&memory, instance, &"x".repeat(2_000));
            }
        }
        let bytes = |memory: &LineMemory| {
            let kept = memory.kept.lock();
            let sum: usize = kept.instances.values().map(Ring::bytes).sum();
            assert_eq!(sum, kept.bytes);
            sum
        };
        let held = bytes(&memory);
        assert!((BYTES_IN_ALL_MAX / 2..=BYTES_IN_ALL_MAX).contains(&held), "{held}");
        for instance in 0..200 {
            memory.ended(&name(instance));
        }
        assert_eq!(memory.kept.lock().instances.len(), ENDED_KEPT);
        bytes(&memory);
    }
}
