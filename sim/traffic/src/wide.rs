//! Counts with one time step a line: Huawei's wide files, OpenDC's, and any table of counts.

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::counts::{COUNT_MAX, Cell, CountFeed};
use crate::error::TrafficError;
use crate::field::{self, Clock, Span, Unit};
use crate::format::{self, ARRIVAL_NAMES, COUNT_NAMES, Format};
use crate::input::{Input, Lines};
use crate::options::Grouping;

/// Nanoseconds in a day, for files whose time begins anew each day.
const DAY_NS: i64 = 86_400 * 1_000_000_000;

/// The step when the time column counts minutes, or the data set is one of minutes.
const MINUTE_NS: u64 = 60 * 1_000_000_000;

/// Rows from which the step is learnt: a clock that misses a second may double one gap.
const STEP_ROWS: usize = 50;

/// The rows of Locust's history that are sums over all requests.
const LOCUST_SUMS: &[u8] = b"Aggregated";

/// Reads one time step a line.
pub(crate) struct WideFeed {
    lines: Lines,
    columns: Columns,
    interval_ns: u64,
    origin_ns: i64,
    last_ns: Option<i64>,
    fields: Vec<Span>,
    /// Part of a request that a fractional rate left over, for each count column.
    remainders: Vec<f64>,
    /// The count so far, where numbers are that.
    counted: f64,
}

/// Where in a line what stands.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    separator: u8,
    day: Option<usize>,
    time: usize,
    clock: Clock,
    /// Count columns with the revision each belongs to.
    counts: Vec<(usize, RevisionIndex)>,
    /// Mean service time of the step.
    service: Option<(usize, Unit)>,
    /// Whether numbers are requests in a step, or requests a second.
    measure: Rate,
    /// The column that says which rows count, and its value there.
    only: Option<(usize, &'static [u8])>,
    /// The step, when the format or the name of the time column says it.
    step_ns: Option<u64>,
    /// What the numbers were taken for.
    taken: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    PerStep,
    PerSecond,
    SoFar,
}

/// Finds the columns by the header, and the step by the first two rows.
pub(crate) fn plan(
    input: &Input,
    format: Format,
    grouping: Grouping,
    wished_ns: Option<u64>,
    names: &mut RevisionNames,
) -> Result<(Columns, u64, i64), TrafficError> {
    let mut lines = input.lines()?;
    if !lines.advance()? {
        return Err(lines.bad(0, "a header with a time and counts", b""));
    }
    let columns = columns(&lines, format, grouping, names)?;
    let mut stamps = Vec::new();
    let mut fields = Vec::new();
    // One gap is enough where rows follow each other by rule; Locust's clock may miss a second.
    let rows = if columns.only.is_some() { STEP_ROWS } else { 2 };
    while stamps.len() < rows && lines.advance()? {
        field::split(lines.line(), columns.separator, &mut fields);
        if columns.counts_row(&lines, &fields) {
            stamps.push(stamp(&lines, &fields, &columns)?);
        }
    }
    let gaps = stamps.windows(2).filter(|pair| pair[1] > pair[0]);
    let measured = gaps.map(|pair| pair[1].abs_diff(pair[0])).min();
    let Some(interval_ns) = wished_ns.or(measured).or(columns.step_ns) else {
        let why = "has one row of counts, so that nothing says how long its step is; pass \
                   --interval, such as --interval 60s";
        return Err(TrafficError::Undeclared { file: input.name().to_owned(), why: why.into() });
    };
    let interval_ns = interval_ns.max(1);
    let first = stamps.first().copied().unwrap_or(0);
    // Calendar times and the day of a long data set begin at the file's first step.
    Ok((columns, interval_ns, first))
}

fn columns(
    lines: &Lines,
    format: Format,
    grouping: Grouping,
    names: &mut RevisionNames,
) -> Result<Columns, TrafficError> {
    let header = format::header(lines.line());
    let find = |wanted: &str| header.iter().position(|name| name == wanted);
    let mut day = None;
    let (mut service, mut measure) = (None, Rate::PerStep);
    let missing = |what: &str| lines.bad(0, what, lines.line());
    let (time, wide) = match format {
        Format::HuaweiCounts => {
            day = find("day");
            (find("time").ok_or_else(|| missing("a header with a column 'time'"))?, true)
        }
        Format::OpenDc => {
            let exec = header.iter().position(|name| name.starts_with("avg exec time"));
            service =
                exec.map(|column| (column, Unit::of_name(&header[column]).unwrap_or(Unit::Millis)));
            let time = format::column(&header, &ARRIVAL_NAMES);
            (time.ok_or_else(|| missing("a header with a column 'Timestamp [ms]'"))?, false)
        }
        _ => {
            let time = format::column(&header, &ARRIVAL_NAMES)
                .or_else(|| find("minute"))
                .or_else(|| find("second"));
            (time.ok_or_else(|| missing("a header with a time column"))?, false)
        }
    };
    let mut only = None;
    let counts = if format == Format::LocustHistory {
        measure = Rate::SoFar;
        let sums = find("name").ok_or_else(|| missing("a header with a column 'Name'"))?;
        only = Some((sums, LOCUST_SUMS));
        let column = find("total request count");
        let column = column.ok_or_else(|| missing("a column 'Total Request Count'"))?;
        vec![(column, name(names, Grouping::All, ""))]
    } else if wide {
        let rest = (0..header.len()).filter(|column| Some(*column) != day && *column != time);
        rest.map(|column| (column, name(names, grouping, &header[column]))).collect()
    } else {
        let column = format::column(&header, &COUNT_NAMES)
            .ok_or_else(|| missing("a header with a column of counts"))?;
        if matches!(format::stem(&header[column]).as_str(), "rps" | "rate") {
            measure = Rate::PerSecond;
        }
        vec![(column, name(names, Grouping::All, ""))]
    };
    let clock = match header[time].as_str() {
        "minute" => Clock::Minutes,
        "second" => Clock::Number(Unit::Seconds),
        _ if format == Format::HuaweiCounts => Clock::Number(Unit::Seconds),
        title => Unit::of_name(title).map_or(Clock::Any, Clock::Number),
    };
    let separator = format::separator(lines.line());
    let step_ns = match (format, header[time].as_str()) {
        (Format::HuaweiCounts | Format::OpenDc, _) | (_, "minute") => Some(MINUTE_NS),
        (Format::LocustHistory, _) | (_, "second") => Some(Unit::Seconds.nanos().unsigned_abs()),
        _ => None,
    };
    let counted = counts.first().map_or("", |(column, _)| header[*column].as_str());
    let taken = match wide {
        true => "each column counts the requests of a function".to_owned(),
        false => taken(measure, &header[time], counted),
    };
    Ok(Columns { separator, day, time, clock, counts, service, measure, only, step_ns, taken })
}

/// What the numbers in the column `counted` are, in a few words.
fn taken(measure: Rate, time: &str, counted: &str) -> String {
    match measure {
        Rate::PerStep => {
            format!("{time} is the beginning of a step; {counted} counts its requests")
        }
        Rate::PerSecond => {
            format!("{time} is the beginning of a step; {counted} is its requests a second")
        }
        Rate::SoFar => format!(
            "{time} is the end of a step; {counted} are the requests so far, whose differences \
             count"
        ),
    }
}

impl Columns {
    /// What the numbers were taken for.
    pub(crate) fn taken(&self) -> &str {
        &self.taken
    }

    /// Whether the current line is one that counts.
    fn counts_row(&self, lines: &Lines, fields: &[Span]) -> bool {
        self.only.is_none_or(|(column, value)| cell(lines, fields, column).1 == value)
    }
}

fn name(names: &mut RevisionNames, grouping: Grouping, column: &str) -> RevisionIndex {
    names.intern(if grouping == Grouping::All { "traffic" } else { column })
}

/// When the step of the current line begins.
fn stamp(lines: &Lines, fields: &[Span], columns: &Columns) -> Result<i64, TrafficError> {
    let (start, text) = cell(lines, fields, columns.time);
    let stamp = columns
        .clock
        .stamp(text)
        .ok_or_else(|| lines.bad(start, columns.clock.expected(), text))?
        .nanos;
    let Some(day) = columns.day else { return Ok(stamp) };
    let (start, text) = cell(lines, fields, day);
    let day = field::count(text)
        .and_then(|day| i64::try_from(day).ok())
        .and_then(|day| day.checked_mul(DAY_NS))
        .ok_or_else(|| lines.bad(start, "a number of a day", text))?;
    // Seconds since day 0 already lie in their day; seconds of the day have to be moved there.
    Ok(if stamp < day { stamp.saturating_add(day) } else { stamp })
}

/// The text of `column` and where it begins; empty at the end of the line when it is missing.
fn cell<'a>(lines: &'a Lines, fields: &[Span], column: usize) -> (usize, &'a [u8]) {
    let line = lines.line();
    fields.get(column).map_or((line.len(), b"" as &[u8]), |span| {
        (span.start, field::trim(&line[span.start..span.end.min(line.len())]))
    })
}

impl WideFeed {
    pub(crate) fn new(
        input: &Input,
        columns: Columns,
        interval_ns: u64,
        origin_ns: i64,
    ) -> Result<Self, TrafficError> {
        let mut lines = input.lines()?;
        lines.advance()?;
        let remainders = vec![0.0; columns.counts.len()];
        let fields = Vec::new();
        let (last_ns, counted) = (None, 0.0);
        Ok(WideFeed {
            lines,
            columns,
            interval_ns,
            origin_ns,
            last_ns,
            fields,
            remainders,
            counted,
        })
    }

    /// Requests of count column `index` on the current line.
    fn count(&mut self, index: usize) -> Result<u64, TrafficError> {
        let (column, _) = self.columns.counts[index];
        let (start, text) = cell(&self.lines, &self.fields, column);
        // Data frames write NaN (or nothing) where a function had no requests.
        if matches!(text, b"" | b"0" | b"0.0" | b"NaN" | b"nan") {
            return Ok(0);
        }
        let seconds = self.interval_ns as f64 / 1e9;
        let expected = "a number of requests from 0 to 100,000,000";
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|number| (0.0..=COUNT_MAX as f64).contains(number))
            .ok_or_else(|| self.lines.bad(start, expected, text))?;
        let exact = match self.columns.measure {
            Rate::PerStep => number,
            Rate::PerSecond => number * seconds,
            // A count that falls began again.
            Rate::SoFar => {
                let before = std::mem::replace(&mut self.counted, number);
                if number >= before { number - before } else { number }
            }
        } + self.remainders[index];
        let whole = (exact as u64).min(COUNT_MAX);
        self.remainders[index] = exact - whole as f64;
        Ok(whole)
    }

    fn service(&self) -> Result<Option<u64>, TrafficError> {
        let Some((column, unit)) = self.columns.service else { return Ok(None) };
        let (start, text) = cell(&self.lines, &self.fields, column);
        let expected = "a mean execution time that is not negative";
        let found = field::span_nanos(text, unit);
        found.map(Some).ok_or_else(|| self.lines.bad(start, expected, text))
    }
}

impl CountFeed for WideFeed {
    fn next_interval(
        &mut self,
        _names: &mut RevisionNames,
        cells: &mut Vec<Cell>,
    ) -> Result<Option<u64>, TrafficError> {
        loop {
            if !self.lines.advance()? {
                return Ok(None);
            }
            let separator = self.columns.separator;
            field::split(self.lines.line(), separator, &mut self.fields);
            if self.columns.counts_row(&self.lines, &self.fields) {
                break;
            }
        }
        let stamp = stamp(&self.lines, &self.fields, &self.columns)?;
        let earliest = self.last_ns.map(|last| last.saturating_add_unsigned(self.interval_ns));
        if earliest.is_some_and(|earliest| stamp < earliest) {
            let (start, text) = cell(&self.lines, &self.fields, self.columns.time);
            let expected =
                format!("a time at least {} s after the row before", self.interval_ns as f64 / 1e9);
            return Err(self.lines.bad(start, &expected, text));
        }
        let service_ns = self.service()?;
        // Columns are one revision each, or all the same one.
        let merged = cells_are_merged(&self.columns);
        for index in 0..self.columns.counts.len() {
            let count = self.count(index)?;
            let (_, revision) = self.columns.counts[index];
            match cells.first_mut() {
                Some(cell) if merged => cell.count += count,
                _ if count > 0 => cells.push(Cell { revision, count, service_ns }),
                _ => {}
            }
        }
        self.last_ns = Some(stamp);
        Ok(Some(u64::try_from(stamp.saturating_sub(self.origin_ns)).unwrap_or(0)))
    }

    fn interval_ns(&self) -> u64 {
        self.interval_ns
    }
}

fn cells_are_merged(columns: &Columns) -> bool {
    columns.counts.len() > 1 && columns.counts[0].1 == columns.counts[1].1
}
