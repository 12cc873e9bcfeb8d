//! Formats with one request a line in columns: CSV with or without a header, and access logs.

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::error::{Location, TrafficError};
use crate::field::{self, Clock, Span, Unit};
use crate::input::Lines;
use crate::rows::{Row, RowReader, StampedAt};

/// One column that adds to the service time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) column: usize,
    pub(crate) measure: Measure,
}

/// What a number in a service column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Time in this unit.
    Time(Unit),
    /// Things (tokens) that take this many nanoseconds each.
    Each(u64),
}

/// Where in a row what stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) separator: u8,
    pub(crate) time: usize,
    pub(crate) clock: Clock,
    pub(crate) stamped_at: StampedAt,
    /// Columns whose sum is the service time; empty when the format has none.
    pub(crate) service: Vec<Part>,
    /// Column of the whole time in the system, when it differs from the service time.
    pub(crate) total: Option<Part>,
    /// Columns that name the revision, joined by `/`.
    pub(crate) revision: Vec<usize>,
    /// Tick to spread rows in, when stamps are coarse.
    pub(crate) spread_ns: Option<u64>,
    /// Lines to pass over before the first row: 1 for a header.
    pub(crate) header_lines: u64,
    /// What stands where a request has no service time.
    pub(crate) missing: Missing,
}

/// What stands where a request has no service time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing may: the row is bad.
    Refused,
    /// Nothing at all.
    Empty,
    /// Nothing, a dash, or -1 as load balancers write for what never happened.
    Dash,
}

/// Reads rows by a [`Layout`].
pub(crate) struct TableReader {
    lines: Lines,
    layout: Layout,
    fields: Vec<Span>,
    /// The revision of the row before, since rows of one revision tend to follow each other.
    last: Option<(Vec<u8>, RevisionIndex)>,
}

/// Length of the hexadecimal names that public traces use: SHA-256, sometimes cut in half.
const HASH_DIGITS_MIN: usize = 32;

/// Digits kept of a hashed name: 48 bits, so that among 50,000 applications two are confused with a
/// chance of one in 200,000, and a line of a report can still show the name.
const HASH_DIGITS_KEPT: usize = 12;

/// `parts` joined by `/`, with hashes cut to a readable length.
pub(crate) fn short_name(parts: &[&str]) -> String {
    let short = |part: &&str| {
        let hash = part.len() >= HASH_DIGITS_MIN && part.bytes().all(|b| b.is_ascii_hexdigit());
        if hash { part[..HASH_DIGITS_KEPT].to_owned() } else { (*part).to_owned() }
    };
    parts.iter().map(short).collect::<Vec<_>>().join("/")
}

impl Layout {
    /// A comma-separated file with a header, stamps that are beginnings and no service time.
    pub(crate) fn csv(time: usize, clock: Clock) -> Self {
        Layout {
            separator: b',',
            time,
            clock,
            stamped_at: StampedAt::Start,
            service: Vec::new(),
            total: None,
            revision: Vec::new(),
            spread_ns: None,
            header_lines: 1,
            missing: Missing::Refused,
        }
    }

    /// The same with a service time in `column`.
    pub(crate) fn service(mut self, column: usize, unit: Unit) -> Self {
        self.service.push(Part { column, measure: Measure::Time(unit) });
        self
    }

    /// The same with stamps that are ends.
    pub(crate) fn ended(mut self) -> Self {
        self.stamped_at = StampedAt::End;
        self
    }
}

impl TableReader {
    pub(crate) fn new(lines: Lines, layout: Layout) -> Self {
        TableReader { lines, layout, fields: Vec::new(), last: None }
    }

    /// The field in `column`, with the byte where it begins.
    fn field(&self, column: usize, what: &str) -> Result<(usize, &[u8]), TrafficError> {
        let line = self.lines.line();
        match self.fields.get(column) {
            Some(span) => {
                let end = span.end.min(line.len());
                let text = &line[span.start.min(end)..end];
                Ok((span.start, field::trim(text)))
            }
            None => Err(self.lines.bad(
                line.len(),
                &format!("{what} in column {} of {}", column + 1, self.fields.len()),
                b"",
            )),
        }
    }

    fn stamp(&self) -> Result<i64, TrafficError> {
        let (start, text) = self.field(self.layout.time, "a time")?;
        // Envoy puts its stamp into brackets.
        let inner = text.strip_prefix(b"[").map_or(text, |t| t.strip_suffix(b"]").unwrap_or(t));
        self.layout
            .clock
            .stamp(inner)
            .map(|stamp| stamp.nanos)
            .ok_or_else(|| self.lines.bad(start, self.layout.clock.expected(), text))
    }

    /// The time of one part; `None` when it never happened.
    fn part(&self, part: Part) -> Result<Option<u64>, TrafficError> {
        let (start, text) = self.field(part.column, "a service time")?;
        match (self.layout.missing, text) {
            (Missing::Empty | Missing::Dash, b"") | (Missing::Dash, b"-" | b"-1") => {
                return Ok(None);
            }
            _ => {}
        }
        let value = match part.measure {
            Measure::Time(unit) => field::span_nanos(text, unit),
            Measure::Each(each) => field::count(text).map(|count| count.saturating_mul(each)),
        };
        let expected = match part.measure {
            Measure::Time(_) => "a service time that is not negative",
            Measure::Each(_) => "a count of tokens",
        };
        value.map(Some).ok_or_else(|| self.lines.bad(start, expected, text))
    }

    fn service(&self) -> Result<Option<u64>, TrafficError> {
        let mut sum = None;
        for &part in &self.layout.service {
            match self.part(part)? {
                Some(time) => sum = Some(sum.unwrap_or(0_u64).saturating_add(time)),
                None => return Ok(None),
            }
        }
        Ok(sum)
    }

    fn revision(&mut self, names: &mut RevisionNames) -> Result<RevisionIndex, TrafficError> {
        let Some((&first, more)) = self.layout.revision.split_first() else {
            return Ok(RevisionIndex(0));
        };
        let mut key = self.field(first, "a name")?.1.to_vec();
        for &column in more {
            key.push(b'/');
            key.extend_from_slice(self.field(column, "a name")?.1);
        }
        if let Some((last, id)) = &self.last
            && *last == key
        {
            return Ok(*id);
        }
        let whole = String::from_utf8_lossy(&key);
        let parts: Vec<&str> = whole.split('/').collect();
        let id = names.intern(&short_name(&parts));
        self.last = Some((key, id));
        Ok(id)
    }
}

impl RowReader for TableReader {
    fn next_row(&mut self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        loop {
            if !self.lines.advance()? {
                return Ok(None);
            }
            if self.layout.header_lines > 0 {
                self.layout.header_lines -= 1;
                continue;
            }
            break;
        }
        field::split(self.lines.line(), self.layout.separator, &mut self.fields);
        let stamp_ns = self.stamp()?;
        let service_ns = self.service()?;
        let total_ns = match self.layout.total {
            Some(part) => self.part(part)?,
            None => None,
        };
        let revision = self.revision(names)?;
        Ok(Some(Row { stamp_ns, service_ns, total_ns, revision }))
    }

    fn stamped_at(&self) -> StampedAt {
        self.layout.stamped_at
    }

    fn spread_ns(&self) -> Option<u64> {
        self.layout.spread_ns
    }

    fn location(&self) -> Location {
        self.lines.location(0)
    }
}
