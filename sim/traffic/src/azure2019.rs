//! Azure Functions 2019: invocations per function and minute, with durations and memory beside.

use std::collections::HashMap;
use std::sync::Arc;

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::counts::{COUNT_MAX, Cell, CountFeed};
use crate::error::TrafficError;
use crate::field::{self, Span, Unit};
use crate::format;
use crate::input::{Input, Lines};
use crate::options::Grouping;
use crate::profile::ServiceProfile;
use crate::rows::BadRows;
use crate::table::short_name;

/// Counts that are not zero, at 16 bytes each: a whole day of the 2019 data set has about 8
/// million.
const CELLS_MAX: usize = 100 << 20;

/// A count of one function in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) interval: u32,
    pub(crate) revision: u32,
    pub(crate) count: u64,
}

/// Counts of all functions, sorted by interval; shared by every replay.
#[derive(Debug, Clone)]
pub(crate) struct CountTable {
    pub(crate) names: RevisionNames,
    pub(crate) entries: Arc<[Entry]>,
    pub(crate) interval_ns: u64,
    pub(crate) skipped: u64,
    /// Owner, application and function of each revision, to join durations and memory by.
    pub(crate) keys: Vec<Key>,
    /// What the numbers were taken for.
    pub(crate) taken: String,
}

/// Owner, application, function.
pub(crate) type Key = (String, String, String);

/// Plays a [`CountTable`].
pub(crate) struct TableFeed {
    entries: Arc<[Entry]>,
    at: usize,
    interval_ns: u64,
}

/// Columns of the invocations file.
struct Columns {
    owner: Option<usize>,
    app: Option<usize>,
    function: usize,
    /// First column with counts; the ones after it are the following intervals.
    first: usize,
}

/// Reads the invocations in `input`.
pub(crate) fn invocations(
    input: &Input,
    interval_ns: u64,
    grouping: Grouping,
    bad_rows: BadRows,
) -> Result<CountTable, TrafficError> {
    let mut lines = input.lines()?;
    let mut table = Loading::new(interval_ns, grouping);
    if !lines.advance()? {
        return Err(lines.bad(0, "a header with HashFunction and one column a minute", b""));
    }
    let columns = columns(&lines)?;
    let mut fields = Vec::new();
    let mut row = Vec::new();
    while lines.advance()? {
        field::split(lines.line(), b',', &mut fields);
        match table.row(&lines, &columns, &fields, &mut row) {
            Ok(()) => {}
            Err(error) if bad_rows == BadRows::Skip && error.is_one_row() => table.skipped += 1,
            Err(error) => return Err(error),
        }
    }
    table.finish(input)
}

fn columns(lines: &Lines) -> Result<Columns, TrafficError> {
    let names = format::header(lines.line());
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let function = find("hashfunction")
        .ok_or_else(|| lines.bad(0, "a header with HashFunction", lines.line()))?;
    let first = names
        .iter()
        .position(|name| name.parse::<u32>().is_ok())
        .ok_or_else(|| lines.bad(0, "a header with one numbered column a minute", lines.line()))?;
    Ok(Columns { owner: find("hashowner"), app: find("hashapp"), function, first })
}

/// The table while it is read.
struct Loading {
    names: RevisionNames,
    keys: Vec<Key>,
    entries: Vec<Entry>,
    interval_ns: u64,
    grouping: Grouping,
    skipped: u64,
}

impl Loading {
    fn new(interval_ns: u64, grouping: Grouping) -> Self {
        Loading {
            names: RevisionNames::new(),
            keys: Vec::new(),
            entries: Vec::new(),
            interval_ns,
            grouping,
            skipped: 0,
        }
    }

    /// Takes in one function; nothing of it when any of its counts is bad.
    fn row(
        &mut self,
        lines: &Lines,
        columns: &Columns,
        fields: &[Span],
        counts: &mut Vec<(u32, u64)>,
    ) -> Result<(), TrafficError> {
        let line = lines.line();
        let text = |span: &Span| field::trim(&line[span.start..span.end.min(line.len())]);
        let name = |column: Option<usize>| {
            let found = column.and_then(|column| fields.get(column)).map(text).unwrap_or(b"");
            String::from_utf8_lossy(found).into_owned()
        };
        counts.clear();
        for (interval, span) in fields.iter().skip(columns.first).enumerate() {
            match text(span) {
                b"0" | b"" => {}
                digits => {
                    let count = field::count(digits)
                        .filter(|count| *count <= COUNT_MAX)
                        .ok_or_else(|| lines.bad(span.start, "a number of invocations", digits))?;
                    if count > 0 {
                        counts.push((u32::try_from(interval).unwrap_or(u32::MAX), count));
                    }
                }
            }
        }
        if fields.len() <= columns.first {
            return Err(lines.bad(line.len(), "at least one count", b""));
        }
        let key = (name(columns.owner), name(columns.app), name(Some(columns.function)));
        let revision = match self.grouping {
            Grouping::All => self.names.intern("traffic"),
            Grouping::App => self.names.intern(&short_name(&[&key.0, &key.1])),
            Grouping::Function => self.names.intern(&short_name(&[&key.1, &key.2])),
        };
        if self.keys.len() <= revision.0 as usize {
            self.keys.push(key);
        }
        let entries =
            counts.iter().map(|&(interval, count)| Entry { interval, revision: revision.0, count });
        self.entries.extend(entries);
        Ok(())
    }

    fn finish(mut self, input: &Input) -> Result<CountTable, TrafficError> {
        if self.entries.len() > CELLS_MAX {
            let why = format!("holds more than {CELLS_MAX} counts; cut it into shorter traces");
            return Err(TrafficError::Unsupported { file: input.name().to_owned(), why });
        }
        self.entries.sort_unstable();
        // Functions of one application add up when the application is the revision.
        self.entries.dedup_by(|next, kept| {
            let same = (next.interval, next.revision) == (kept.interval, kept.revision);
            if same {
                kept.count = kept.count.saturating_add(next.count).min(COUNT_MAX);
            }
            same
        });
        Ok(CountTable {
            names: self.names,
            entries: self.entries.into(),
            interval_ns: self.interval_ns,
            skipped: self.skipped,
            keys: self.keys,
            taken: "each numbered column counts the requests of a function".to_owned(),
        })
    }
}

impl CountTable {
    pub(crate) fn feed(&self) -> TableFeed {
        TableFeed { entries: Arc::clone(&self.entries), at: 0, interval_ns: self.interval_ns }
    }

    /// Requests in all.
    pub(crate) fn total(&self) -> u64 {
        self.entries.iter().map(|entry| entry.count).sum()
    }
}

impl CountFeed for TableFeed {
    fn next_interval(
        &mut self,
        _names: &mut RevisionNames,
        cells: &mut Vec<Cell>,
    ) -> Result<Option<u64>, TrafficError> {
        let Some(first) = self.entries.get(self.at) else { return Ok(None) };
        let interval = first.interval;
        while let Some(entry) = self.entries.get(self.at)
            && entry.interval == interval
        {
            let revision = RevisionIndex(entry.revision);
            cells.push(Cell { revision, count: entry.count, service_ns: None });
            self.at += 1;
        }
        Ok(Some(u64::from(interval).saturating_mul(self.interval_ns)))
    }

    fn interval_ns(&self) -> u64 {
        self.interval_ns
    }
}

/// Service times of each of `keys` from the durations file; `None` for a function it does not have.
/// When an application is the revision, its functions' percentiles are averaged by their counts.
pub(crate) fn durations(
    input: &Input,
    keys: &[Key],
    grouping: Grouping,
    bad_rows: BadRows,
) -> Result<Vec<Option<ServiceProfile>>, TrafficError> {
    let mut lines = input.lines()?;
    if !lines.advance()? {
        return Err(lines.bad(0, "a header with percentile_Average_50", b""));
    }
    let names = format::header(lines.line());
    let shares: Vec<(usize, f64)> = names
        .iter()
        .enumerate()
        .filter_map(|(column, name)| {
            let percent: f64 = name.strip_prefix("percentile_average_")?.parse().ok()?;
            Some((column, percent / 100.0))
        })
        .collect();
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(function), false) = (find("hashfunction"), shares.is_empty()) else {
        let expected = "a header with HashFunction and percentile_Average_0 to _100";
        return Err(lines.bad(0, expected, lines.line()));
    };
    let id = Identity { owner: find("hashowner"), app: find("hashapp"), function, grouping };
    let weight = find("count");
    let mut sums: HashMap<Key, Summed> = HashMap::new();
    let mut fields = Vec::new();
    while lines.advance()? {
        field::split(lines.line(), b',', &mut fields);
        match percentiles(&lines, &fields, &shares, weight) {
            Ok(row) => sums.entry(id.of(&lines, &fields)).or_default().add(row),
            Err(error) if bad_rows == BadRows::Skip && error.is_one_row() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(keys
        .iter()
        .map(|key| {
            let sum = sums.get(&id.reduce(key.clone()))?;
            let points = shares.iter().zip(&sum.times);
            ServiceProfile::new(points.map(|(share, time)| (share.1, time / sum.weight)).collect())
        })
        .collect())
}

/// How rows of a companion file are identified.
struct Identity {
    owner: Option<usize>,
    app: Option<usize>,
    function: usize,
    grouping: Grouping,
}

/// Percentiles of several functions, weighted by their counts.
#[derive(Default)]
struct Summed {
    weight: f64,
    times: Vec<f64>,
}

impl Identity {
    fn of(&self, lines: &Lines, fields: &[Span]) -> Key {
        let text = |column: Option<usize>| {
            let line = lines.line();
            let span = column.and_then(|column| fields.get(column));
            span.map_or_else(String::new, |span| {
                let text = &line[span.start..span.end.min(line.len())];
                String::from_utf8_lossy(field::trim(text)).into_owned()
            })
        };
        self.reduce((text(self.owner), text(self.app), text(Some(self.function))))
    }

    /// The part of a key that matters when revisions are formed this way.
    fn reduce(&self, key: Key) -> Key {
        match self.grouping {
            Grouping::Function => key,
            Grouping::App => (key.0, key.1, String::new()),
            Grouping::All => Key::default(),
        }
    }
}

impl Summed {
    fn add(&mut self, (weight, times): (f64, Vec<f64>)) {
        self.times.resize(times.len(), 0.0);
        self.weight += weight;
        for (sum, time) in self.times.iter_mut().zip(times) {
            *sum += weight * time;
        }
    }
}

/// Weight and percentiles, in nanoseconds, of one row.
fn percentiles(
    lines: &Lines,
    fields: &[Span],
    shares: &[(usize, f64)],
    weight: Option<usize>,
) -> Result<(f64, Vec<f64>), TrafficError> {
    let line = lines.line();
    let text = |column: usize| {
        fields.get(column).map(|span| (span.start, &line[span.start..span.end.min(line.len())]))
    };
    let mut times = Vec::with_capacity(shares.len());
    for &(column, _) in shares {
        let (start, found) = text(column).unwrap_or((line.len(), b""));
        let time = field::span_nanos(found, Unit::Millis)
            .ok_or_else(|| lines.bad(start, "a duration in milliseconds", found))?;
        times.push(time as f64);
    }
    let count = weight.and_then(text).and_then(|(_, found)| field::count(found)).unwrap_or(1);
    Ok((count.max(1) as f64, times))
}

/// Mean allocated memory, in megabytes, of each of `keys`; the application's where the file does
/// not know functions.
pub(crate) fn memory(input: &Input, keys: &[Key]) -> Result<Vec<Option<f64>>, TrafficError> {
    let mut lines = input.lines()?;
    if !lines.advance()? {
        return Err(lines.bad(0, "a header with AverageAllocatedMb", b""));
    }
    let names = format::header(lines.line());
    let find = |wanted: &str| names.iter().position(|name| name == wanted);
    let (Some(app), Some(memory)) = (find("hashapp"), find("averageallocatedmb")) else {
        let expected = "a header with HashApp and AverageAllocatedMb";
        return Err(lines.bad(0, expected, lines.line()));
    };
    let function = find("hashfunction");
    let mut known: HashMap<(String, String), f64> = HashMap::new();
    let mut fields: Vec<Span> = Vec::new();
    while lines.advance()? {
        field::split(lines.line(), b',', &mut fields);
        let line = lines.line();
        let text = |column: usize| {
            let found = fields.get(column).map(|span| &line[span.start..span.end.min(line.len())]);
            String::from_utf8_lossy(found.unwrap_or(b"")).trim().to_owned()
        };
        let found = text(memory);
        let megabytes: f64 =
            found.parse().ok().filter(|mb: &f64| mb.is_finite() && *mb >= 0.0).ok_or_else(
                || {
                    let start = fields.get(memory).map_or(line.len(), |span| span.start);
                    lines.bad(start, "memory in megabytes", found.as_bytes())
                },
            )?;
        known.insert((text(app), function.map(text).unwrap_or_default()), megabytes);
    }
    let of = |key: &Key| {
        let exact = known.get(&(key.1.clone(), key.2.clone()));
        exact.or_else(|| known.get(&(key.1.clone(), String::new()))).copied()
    };
    Ok(keys.iter().map(of).collect())
}
