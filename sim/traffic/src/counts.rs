//! From counts per interval to arrivals.
//!
//! A count says how many requests came in an interval, not when. Each function's requests are
//! placed inside the interval by one of the [`Placement`]s, from random draws that depend only on
//! the seed, the function and the interval; then the functions active in the interval are merged by
//! a heap. Memory is that of one interval: a few dozen bytes for each function active in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fmt;
use std::str::FromStr;

use tidegate_words::choose;

use tidegate_sim::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError};
use tidegate_sim::random::{Stream, Streams};
use tidegate_sim::time::{SimSpan, SimTime};

use crate::error::TrafficError;
use crate::profile::ServiceProfile;
use crate::rows::BadRows;

/// How requests lie inside the interval they were counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// Evenly, beginning at a phase of the function's own, the same in every interval: right for
    /// timers and for steady traffic.
    Equidistant,
    /// Gaps drawn uniformly, then stretched to the interval.
    Uniform,
    /// Gaps drawn from an exponential law, then stretched: a Poisson process given its count.
    #[default]
    Exponential,
    /// All at the beginning of the interval: the minute grid that published keep-alive counts use.
    Start,
}

/// Most requests of one function in one interval: beyond it a count is a mistake, and placing so
/// many would take longer than anyone waits.
pub(crate) const COUNT_MAX: u64 = 100_000_000;

/// Requests of one function in one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cell {
    pub(crate) revision: RevisionIndex,
    pub(crate) count: u64,
    /// Service time that the interval itself gives, nanoseconds.
    pub(crate) service_ns: Option<u64>,
}

/// Gives the counts of one interval after another.
pub(crate) trait CountFeed: Send {
    /// Fills `cells` with the next interval's counts that are not zero, at most one for each
    /// revision, and returns when the interval begins; `None` at the end.
    fn next_interval(
        &mut self,
        names: &mut RevisionNames,
        cells: &mut Vec<Cell>,
    ) -> Result<Option<u64>, TrafficError>;

    /// Length of an interval in nanoseconds.
    fn interval_ns(&self) -> u64;
}

/// The requests of one cell, one after another.
struct Slots {
    cell: Cell,
    placement: Placement,
    gaps: Stream,
    service: Stream,
    placed: u64,
    /// Sum of all gaps, and of those passed, in the unit of the draws.
    whole: f64,
    passed: f64,
    phase: f64,
    interval_ns: u64,
}

/// Arrivals of a [`CountFeed`].
pub(crate) struct CountSource {
    feed: Box<dyn CountFeed>,
    names: RevisionNames,
    profiles: Vec<Option<ServiceProfile>>,
    placement: Placement,
    streams: Streams,
    bad_rows: BadRows,
    cells: Vec<Cell>,
    active: Vec<Slots>,
    /// Next arrival of each active cell: nanoseconds since time zero, index into `active`.
    heap: BinaryHeap<Reverse<(u64, usize)>>,
    interval_start_ns: u64,
    intervals: u64,
    skipped: u64,
    ended: bool,
}

impl Placement {
    /// The name used on the command line.
    const fn name(self) -> &'static str {
        match self {
            Placement::Equidistant => "equidistant",
            Placement::Uniform => "uniform",
            Placement::Exponential => "exponential",
            Placement::Start => "start",
        }
    }
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all =
            [Placement::Equidistant, Placement::Uniform, Placement::Exponential, Placement::Start];
        choose(text, &all, Placement::name)
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Slots {
    fn new(
        cell: Cell,
        placement: Placement,
        interval: u64,
        length_ns: u64,
        streams: Streams,
    ) -> Self {
        let revision = u64::from(cell.revision.0);
        // 2^40 intervals of a second are 34,000 years, so the pair has a number of its own.
        let number = (revision << 40) | interval;
        let mut gaps = streams.stream("placement", number);
        let mut whole = 0.0;
        if matches!(placement, Placement::Uniform | Placement::Exponential) {
            // The sum is needed before the first gap; drawing twice needs no memory.
            let mut rehearsal = gaps.clone();
            for _ in 0..=cell.count {
                whole += draw(placement, &mut rehearsal);
            }
        } else {
            gaps = streams.stream("phase", revision);
        }
        let phase = gaps.clone().unit();
        let service = streams.stream("count-service", number);
        let interval_ns = length_ns;
        Slots { cell, placement, gaps, service, placed: 0, whole, passed: 0.0, phase, interval_ns }
    }

    /// Where in the interval the next request lies; `None` after the last.
    fn next_ns(&mut self) -> Option<u64> {
        if self.placed == self.cell.count {
            return None;
        }
        let share = match self.placement {
            Placement::Start => 0.0,
            Placement::Equidistant => (self.placed as f64 + self.phase) / self.cell.count as f64,
            Placement::Uniform | Placement::Exponential => {
                self.passed += draw(self.placement, &mut self.gaps);
                if self.whole > 0.0 { self.passed / self.whole } else { 0.0 }
            }
        };
        self.placed += 1;
        let offset = (share * self.interval_ns as f64) as u64;
        Some(offset.min(self.interval_ns.saturating_sub(1)))
    }
}

/// One gap before stretching.
fn draw(placement: Placement, stream: &mut Stream) -> f64 {
    match placement {
        Placement::Exponential => stream.exponential(),
        _ => stream.unit(),
    }
}

impl CountSource {
    pub(crate) fn new(
        feed: Box<dyn CountFeed>,
        names: RevisionNames,
        profiles: Vec<Option<ServiceProfile>>,
        placement: Placement,
        bad_rows: BadRows,
        streams: Streams,
    ) -> Self {
        CountSource {
            feed,
            names,
            profiles,
            placement,
            streams,
            bad_rows,
            cells: Vec::new(),
            active: Vec::new(),
            heap: BinaryHeap::new(),
            interval_start_ns: 0,
            intervals: 0,
            skipped: 0,
            ended: false,
        }
    }

    /// Begins the next interval that has requests; `false` when there is none.
    fn begin_interval(&mut self) -> Result<bool, TrafficError> {
        self.active.clear();
        while self.heap.is_empty() && !self.ended {
            self.cells.clear();
            match self.feed.next_interval(&mut self.names, &mut self.cells) {
                Ok(Some(start_ns)) => self.interval_start_ns = start_ns,
                Ok(None) => {
                    self.ended = true;
                    break;
                }
                Err(error) if self.bad_rows == BadRows::Skip && error.is_one_row() => {
                    self.skipped += 1;
                    continue;
                }
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
            for &cell in &self.cells {
                let length = self.feed.interval_ns();
                let mut slots =
                    Slots::new(cell, self.placement, self.intervals, length, self.streams);
                if let Some(offset) = slots.next_ns() {
                    let at = self.interval_start_ns.saturating_add(offset);
                    self.heap.push(Reverse((at, self.active.len())));
                    self.active.push(slots);
                }
            }
            self.intervals += 1;
        }
        Ok(!self.heap.is_empty())
    }

    fn advance(&mut self) -> Result<Option<Arrival>, TrafficError> {
        if self.heap.is_empty() && !self.begin_interval()? {
            return Ok(None);
        }
        let Some(mut first) = self.heap.peek_mut() else { return Ok(None) };
        let Reverse((at_ns, index)) = *first;
        let slots = &mut self.active[index];
        let revision = slots.cell.revision;
        let profile = self.profiles.get(revision.0 as usize).and_then(Option::as_ref);
        let service_ns = match (slots.cell.service_ns, profile) {
            (Some(fixed), _) => Some(fixed),
            (None, Some(profile)) => Some(profile.draw(&mut slots.service)),
            (None, None) => None,
        };
        match slots.next_ns() {
            Some(offset) => {
                let next = self.interval_start_ns.saturating_add(offset);
                *first = Reverse((next, index));
            }
            None => {
                PeekMut::pop(first);
            }
        }
        Ok(Some(Arrival {
            at: SimTime::from_nanos(at_ns),
            service: service_ns.map(SimSpan::from_nanos),
            revision,
        }))
    }
}

impl ArrivalSource for CountSource {
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
