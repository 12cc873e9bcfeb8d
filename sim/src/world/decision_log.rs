//! The decisions that a run keeps for people: bounded, over the whole time, and some of every
//! revision.

use crate::record::DecisionRecord;

/// Decisions of all revisions. When there are too many, the revisions with the most give up half of
/// theirs, and of each two in a row that which changed more stays.
#[derive(Debug)]
pub(super) struct DecisionLog {
    most: usize,
    kept: usize,
    seen: u64,
    lines: Vec<Line>,
}

/// Decisions of one revision.
#[derive(Debug)]
struct Line {
    /// How many decisions each one that is kept stands for.
    stride: usize,
    seen: usize,
    kept: Vec<Kept>,
    wanted: u64,
    panicking: bool,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    change: u64,
    record: DecisionRecord,
}

impl DecisionLog {
    /// Keeps at most so many.
    pub(super) fn new(most: u32) -> Self {
        DecisionLog { most: most as usize, kept: 0, seen: 0, lines: Vec::new() }
    }

    /// A decision of the revision with this index.
    pub(super) fn push(&mut self, index: u32, record: DecisionRecord) {
        let number = self.seen;
        self.seen += 1;
        let index = index as usize;
        if self.lines.len() <= index {
            self.lines.resize_with(index + 1, Line::new);
        }
        self.kept += self.lines[index].push(number, record);
        while self.kept > self.most {
            let longest = self.lines.iter().map(|line| line.kept.len()).max().unwrap_or(0);
            if longest <= 1 {
                // Not even one for each revision.
                self.lines[index].kept.pop();
                self.kept -= 1;
                return;
            }
            for line in self.lines.iter_mut().filter(|line| line.kept.len() * 2 > longest) {
                self.kept -= line.halve();
            }
        }
    }

    /// What is kept, in order of time, and how many are not.
    pub(super) fn finish(self) -> (Vec<DecisionRecord>, u64) {
        let mut kept: Vec<Kept> = self.lines.into_iter().flat_map(|line| line.kept).collect();
        kept.sort_by_key(|one| one.number);
        let dropped = self.seen - kept.len() as u64;
        (kept.into_iter().map(|one| one.record).collect(), dropped)
    }
}

impl Line {
    fn new() -> Self {
        Line { stride: 1, seen: 0, kept: Vec::new(), wanted: 0, panicking: false }
    }

    /// Takes a decision, and says how many more are kept.
    fn push(&mut self, number: u64, record: DecisionRecord) -> usize {
        let turned = u64::from(self.panicking != record.panicking);
        let change = self.wanted.abs_diff(record.wanted) * 2 + turned;
        (self.wanted, self.panicking) = (record.wanted, record.panicking);
        let begins = self.seen.is_multiple_of(self.stride);
        self.seen += 1;
        let one = Kept { number, change, record };
        match self.kept.last_mut() {
            Some(last) if !begins => {
                if one.change > last.change {
                    *last = one;
                }
                0
            }
            _ => {
                self.kept.push(one);
                1
            }
        }
    }

    /// Of each two in a row keeps the one that changed more; says how many went.
    fn halve(&mut self) -> usize {
        let before = self.kept.len();
        let mut all = std::mem::take(&mut self.kept).into_iter();
        while let Some(mut one) = all.next() {
            if let Some(next) = all.next().filter(|next| next.change > one.change) {
                one = next;
            }
            self.kept.push(one);
        }
        self.stride *= 2;
        before - self.kept.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: &str, second: u32, wanted: u64) -> DecisionRecord {
        DecisionRecord {
            at_s: f64::from(second),
            revision: revision.to_owned(),
            trigger: "tick".to_owned(),
            desired: wanted,
            wanted,
            ready: 0,
            stable: 0.0,
            panic: 0.0,
            panicking: false,
            proxied: false,
            excess_burst_capacity: 0.0,
            reason: String::new(),
        }
    }

    #[test]
    fn decisions_are_kept_over_the_whole_time_and_the_large_ones_first() {
        let mut log = DecisionLog::new(100);
        for second in 0..10_000 {
            let wanted = if second % 100 == 0 { 50 } else { 1 + u64::from(second % 2) };
            log.push(0, record("busy", second, wanted));
        }
        for second in [20, 5_000] {
            log.push(1, record("quiet", second, 1));
        }
        let (kept, dropped) = log.finish();
        assert!((50..=100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(dropped + kept.len() as u64, 10_002);
        assert_eq!(kept.iter().filter(|one| one.revision == "quiet").count(), 2);
        let busy: Vec<&DecisionRecord> = kept.iter().filter(|one| one.revision == "busy").collect();
        assert!(busy.last().is_some_and(|last| last.at_s > 9_800.0), "they reach the end");
        let large = busy.iter().filter(|one| one.wanted == 50).count();
        assert!(large * 3 > busy.len(), "{large} of {}", busy.len());
    }

    #[test]
    fn with_more_revisions_than_room_the_bound_still_holds() {
        let mut log = DecisionLog::new(3);
        for index in 0..10 {
            log.push(index, record("one", index, 1));
        }
        let (kept, dropped) = log.finish();
        assert_eq!((kept.len(), dropped), (3, 7));
        let (none, all) = {
            let mut log = DecisionLog::new(0);
            log.push(0, record("one", 1, 1));
            log.finish()
        };
        assert_eq!((none.len(), all), (0, 1));
    }
}
