//! What a reporter remembers: its newest statistics, bounded in time and in number.

use std::collections::VecDeque;

use tidegate_proto::stats::v1::Stat;

use crate::DEFAULT_HISTORY_SECONDS;

/// Statistics in the order they were taken, each with its sequence number.
#[derive(Debug)]
pub struct StatHistory {
    stats: VecDeque<Stat>,
    capacity: usize,
    history_ms: i64,
    next_sequence: u64,
    /// The newest that a controller has been sent.
    sent: u64,
    /// Forgotten before any controller was sent them.
    forgotten: u64,
}

impl StatHistory {
    /// An empty history of at most `capacity` stats (at least one).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            stats: VecDeque::new(),
            capacity: capacity.max(1),
            history_ms: i64::from(DEFAULT_HISTORY_SECONDS) * 1_000,
            next_sequence: 1,
            sent: 0,
            forgotten: 0,
        }
    }

    /// A controller has been sent everything up to this sequence number, or what of it can be sent.
    pub fn sent(&mut self, sequence: u64) {
        self.sent = self.sent.max(sequence);
    }

    /// How many stats were forgotten before a controller was sent them.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Adds `stat` under the next sequence number, which it returns, and forgets what is too old.
    pub fn push(&mut self, mut stat: Stat) -> u64 {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        stat.sequence = sequence;
        self.stats.push_back(stat);
        self.trim();
        sequence
    }

    /// How much of the past to keep from now on.
    pub fn keep_seconds(&mut self, seconds: u32) {
        self.history_ms = i64::from(seconds) * 1_000;
        self.trim();
    }

    /// The oldest stat with at least this sequence number that is still remembered.
    #[must_use]
    pub fn at_or_after(&self, sequence: u64) -> Option<&Stat> {
        self.stats.get(self.position(sequence))
    }

    /// At most `limit` stats from `sequence` on, oldest first.
    #[must_use]
    pub fn batch(&self, sequence: u64, limit: usize) -> Vec<Stat> {
        self.stats.iter().skip(self.position(sequence)).take(limit).cloned().collect()
    }

    /// The controller has these: their latency digests need not be sent twice, and are the only
    /// large thing in a stat.
    pub fn acknowledge(&mut self, sequence: u64) {
        let end = self.position(sequence.saturating_add(1));
        let seen = self.stats.iter_mut().take(end).rev();
        seen.take_while(|stat| !stat.latency_digest.is_empty())
            .for_each(|stat| stat.latency_digest = Vec::new());
    }

    /// How many stats are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stats.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stats.is_empty()
    }

    /// Sequence numbers are consecutive, so the place of one follows from the first.
    fn position(&self, sequence: u64) -> usize {
        let first = self.stats.front().map_or(self.next_sequence, |stat| stat.sequence);
        usize::try_from(sequence.saturating_sub(first)).unwrap_or(usize::MAX).min(self.stats.len())
    }

    /// Age is counted back from the newest stat, not from a clock: a reporter that stopped
    /// taking stats forgets nothing.
    fn trim(&mut self) {
        for _ in self.capacity..self.stats.len() {
            self.forget_oldest();
        }
        let Some(newest) = self.stats.back() else { return };
        let oldest_ms = newest.period_start_unix_ms.saturating_sub(self.history_ms);
        while self.stats.len() > 1
            && self.stats.front().is_some_and(|stat| stat.period_start_unix_ms < oldest_ms)
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.stats.pop_front();
        self.forgotten += u64::from(oldest.is_some_and(|stat| stat.sequence > self.sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_sent_is_counted_when_evicted() {
        let mut history = StatHistory::new(3);
        for second in 0..4 {
            history.push(at(second));
        }
        assert_eq!(history.forgotten(), 1);
        history.sent(4);
        for second in 4..7 {
            history.push(at(second));
        }
        assert_eq!(history.forgotten(), 1);
        history.push(at(7));
        assert_eq!(history.forgotten(), 2);
    }

    fn at(second: i64) -> Stat {
        Stat {
            period_start_unix_ms: second * 1_000,
            latency_digest: vec![1, 2, 3],
            ..Stat::default()
        }
    }

    fn sequences(history: &StatHistory) -> Vec<u64> {
        history.batch(0, usize::MAX).iter().map(|stat| stat.sequence).collect()
    }

    #[test]
    fn the_oldest_goes_first_when_it_is_full() {
        let mut history = StatHistory::new(3);
        for second in 0..5 {
            history.push(at(second));
        }
        assert_eq!(sequences(&history), [3, 4, 5]);
    }

    #[test]
    fn age_is_counted_from_the_newest() {
        let mut history = StatHistory::new(1_000);
        history.keep_seconds(10);
        for second in 0..100 {
            history.push(at(second));
        }
        assert_eq!(sequences(&history), (90..=100).collect::<Vec<u64>>());
        history.keep_seconds(2);
        assert_eq!(sequences(&history), [98, 99, 100]);
    }

    #[test]
    fn a_clock_that_jumps_loses_no_more_than_its_jump() {
        let mut history = StatHistory::new(1_000);
        history.push(at(1_000_000));
        history.push(at(0));
        assert_eq!(sequences(&history), [1, 2], "a jump back keeps what is newer");
        history.push(at(2_000_000));
        assert_eq!(sequences(&history), [3]);
        history.push(Stat { period_start_unix_ms: i64::MIN, ..Stat::default() });
        history.push(Stat { period_start_unix_ms: i64::MAX, ..Stat::default() });
        assert_eq!(sequences(&history), [5]);
    }

    #[test]
    fn a_batch_starts_where_it_is_asked_to() {
        let mut history = StatHistory::new(4);
        assert!(history.at_or_after(0).is_none());
        for second in 0..6 {
            history.push(at(second));
        }
        assert_eq!(history.at_or_after(1).map(|stat| stat.sequence), Some(3));
        assert_eq!(history.at_or_after(5).map(|stat| stat.sequence), Some(5));
        assert!(history.at_or_after(7).is_none());
        assert!(history.at_or_after(u64::MAX).is_none());
        assert_eq!(history.batch(4, 2).len(), 2);
        assert_eq!(history.batch(4, 99).len(), 3);
    }

    #[test]
    fn an_acknowledged_stat_drops_its_digest() {
        let mut history = StatHistory::new(10);
        for second in 0..4 {
            history.push(at(second));
        }
        history.acknowledge(2);
        let empty: Vec<bool> =
            history.batch(0, 10).iter().map(|stat| stat.latency_digest.is_empty()).collect();
        assert_eq!(empty, [true, true, false, false]);
        history.acknowledge(u64::MAX);
        assert!(history.batch(0, 10).iter().all(|stat| stat.latency_digest.is_empty()));
    }
}
