//! From rows to arrivals: one row a request, spread, sorted and rebased.
//!
//! A row may carry the time its request *ended*, and a stamp cut to a whole second. So a row is
//! first moved to when it began, spread inside its tick, and then passes a bounded buffer that puts
//! rows back into the order of their beginnings.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tidegate_sim::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError};
use tidegate_sim::random::{Stream, Streams};
use tidegate_sim::time::{SimSpan, SimTime};

use crate::error::{Location, TrafficError};

/// Rows that the buffer holds to mend their order when stamps are ends of requests: at 1,000
/// requests per second it bridges a quarter of an hour, the longest request that most platforms
/// allow. It takes 32 bytes a row, 34 MB when full.
pub const REORDER_ROWS_END: usize = 1 << 20;

/// The same when stamps are beginnings: several writers of one log are at most seconds apart.
pub const REORDER_ROWS_START: usize = 1 << 17;

/// Stamps later than this many nanoseconds after 1970 are calendar times (March 1973), not offsets
/// into a trace; no trace is three years long.
const CALENDAR_NS: i64 = 100_000_000 * 1_000_000_000;

/// One request as its format records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its stamp: the beginning, or the end if the reader's `ended` is set.
    pub(crate) stamp_ns: i64,
    /// How long it took, when the format has it.
    pub(crate) service_ns: Option<u64>,
    /// How long it was in all, to get from the end to the beginning; `service_ns` when `None`.
    pub(crate) total_ns: Option<u64>,
    /// The revision it was for.
    pub(crate) revision: RevisionIndex,
}

/// Which moment of a request its stamp names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampedAt {
    /// When it came.
    Start,
    /// When it was done.
    End,
}

/// Reads one row at a time.
pub(crate) trait RowReader: Send {
    /// The next row; `None` at the end. An error of one row leaves the reader at the next one.
    fn next_row(&mut self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError>;

    /// What the stamps of its rows mean.
    fn stamped_at(&self) -> StampedAt;

    /// Length of the tick its stamps were cut to, when rows must be spread inside it.
    fn spread_ns(&self) -> Option<u64>;

    /// Where the last row was.
    fn location(&self) -> Location;
}

/// What to do with a row that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRows {
    /// Stop with an error that names the place.
    #[default]
    Refuse,
    /// Leave it out and count it.
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    start_ns: i64,
    sequence: u64,
    service_ns: u64,
    revision: u32,
}

/// Puts rows into order of time: what comes in order waits in a queue, the rest in a heap, so that
/// a sorted file costs nothing.
struct Reorder {
    run: VecDeque<Waiting>,
    late: BinaryHeap<Reverse<Waiting>>,
    capacity: usize,
}

/// Rows of one reader as arrivals.
pub(crate) struct RowSource {
    reader: Box<dyn RowReader>,
    names: RevisionNames,
    reorder: Reorder,
    bad_rows: BadRows,
    spread: Stream,
    sequence: u64,
    skipped: u64,
    ended: bool,
    /// Subtracted from every stamp; known once the first row leaves the buffer.
    origin_ns: Option<i64>,
    last_ns: i64,
}

/// Stands for "no service time" while a row waits: no request takes 584 years.
const NO_SERVICE: u64 = u64::MAX;

impl Reorder {
    fn push(&mut self, row: Waiting) {
        match self.run.back() {
            Some(last) if last.start_ns > row.start_ns => self.late.push(Reverse(row)),
            _ => self.run.push_back(row),
        }
    }

    fn len(&self) -> usize {
        self.run.len() + self.late.len()
    }

    fn pop(&mut self) -> Option<Waiting> {
        match (self.run.front(), self.late.peek()) {
            (Some(first), Some(Reverse(late))) if late < first => {
                self.late.pop().map(|Reverse(row)| row)
            }
            (Some(_), _) => self.run.pop_front(),
            (None, _) => self.late.pop().map(|Reverse(row)| row),
        }
    }
}

impl RowSource {
    /// Arrivals of `reader`; `reorder_rows` of `None` takes the bound that fits its stamps.
    pub(crate) fn new(
        reader: Box<dyn RowReader>,
        names: RevisionNames,
        bad_rows: BadRows,
        reorder_rows: Option<usize>,
        streams: Streams,
    ) -> Self {
        let capacity = reorder_rows.unwrap_or(match reader.stamped_at() {
            StampedAt::End => REORDER_ROWS_END,
            StampedAt::Start => REORDER_ROWS_START,
        });
        RowSource {
            reader,
            names,
            reorder: Reorder { run: VecDeque::new(), late: BinaryHeap::new(), capacity },
            bad_rows,
            spread: streams.stream("spread", 0),
            sequence: 0,
            skipped: 0,
            ended: false,
            origin_ns: None,
            last_ns: i64::MIN,
        }
    }

    /// What was subtracted from every stamp; known after the first arrival.
    pub(crate) fn origin_ns(&self) -> Option<i64> {
        self.origin_ns
    }

    /// Reads rows until the buffer is full or the input ends.
    fn fill(&mut self) -> Result<(), TrafficError> {
        while !self.ended && self.reorder.len() < self.reorder.capacity.max(1) {
            match self.reader.next_row(&mut self.names) {
                Ok(Some(row)) => {
                    let waiting = self.begin(row);
                    if waiting.start_ns < self.last_ns {
                        let late = self.out_of_order(waiting.start_ns);
                        self.refuse(late)?;
                    } else {
                        self.reorder.push(waiting);
                    }
                }
                Ok(None) => self.ended = true,
                Err(error) => self.refuse(error)?,
            }
        }
        Ok(())
    }

    /// Passes the error on, or counts it when rows may be skipped.
    fn refuse(&mut self, error: TrafficError) -> Result<(), TrafficError> {
        if self.bad_rows == BadRows::Skip && error.is_one_row() {
            self.skipped += 1;
            return Ok(());
        }
        self.ended = true;
        Err(error)
    }

    fn out_of_order(&self, start_ns: i64) -> TrafficError {
        TrafficError::OutOfOrder {
            location: self.reader.location(),
            late_ms: self.last_ns.abs_diff(start_ns) / 1_000_000,
            rows: self.reorder.capacity,
        }
    }

    /// When the request of `row` began.
    fn begin(&mut self, row: Row) -> Waiting {
        let mut start_ns = row.stamp_ns;
        if let Some(tick) = self.reader.spread_ns() {
            start_ns = start_ns.saturating_add_unsigned(self.spread.below(tick));
        }
        if self.reader.stamped_at() == StampedAt::End {
            let total = row.total_ns.or(row.service_ns).unwrap_or(0);
            start_ns = start_ns.saturating_sub_unsigned(total);
        }
        self.sequence += 1;
        Waiting {
            start_ns,
            sequence: self.sequence,
            service_ns: row.service_ns.unwrap_or(NO_SERVICE),
            revision: row.revision.0,
        }
    }

    fn advance(&mut self) -> Result<Option<Arrival>, TrafficError> {
        self.fill()?;
        let Some(row) = self.reorder.pop() else { return Ok(None) };
        self.last_ns = row.start_ns;
        let origin = *self.origin_ns.get_or_insert(if row.start_ns >= CALENDAR_NS {
            row.start_ns
        } else {
            // A request of a relative trace that began before its zero begins at zero.
            0
        });
        let at_ns = u64::try_from(row.start_ns.saturating_sub(origin)).unwrap_or(0);
        let service = (row.service_ns != NO_SERVICE).then(|| SimSpan::from_nanos(row.service_ns));
        Ok(Some(Arrival {
            at: SimTime::from_nanos(at_ns),
            service,
            revision: RevisionIndex(row.revision),
        }))
    }
}

impl ArrivalSource for RowSource {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        self.advance().map_err(SourceError::from).transpose()
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}
