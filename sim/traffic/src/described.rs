//! Rows of every described format, read by a [`Plan`].

use std::borrow::Cow;

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::description::{Kept, Measure, Sign};
use crate::error::{Location, TrafficError};
use crate::field::{self, Unit};
use crate::format;
use crate::input::Lines;
use crate::layout::SAMPLE_ROWS;
use crate::plan::{Filter, Finder, Moment, Part, Plan, Unnamed};
use crate::record::{BLANKS, Fields, Found, Names};
use crate::rows::{Row, RowReader, StampedAt};
use crate::table::{Missing, short_name};

/// What a revision is called where a row does not name it.
const UNNAMED: &str = "unknown";

/// Reads rows by a [`Plan`].
pub(crate) struct DescribedReader {
    lines: Lines,
    plan: Plan,
    names: Names,
    /// Lines still to be passed over before the first row.
    header_lines: u64,
}

/// The stamps of the first rows.
#[derive(Debug, Default)]
pub(crate) struct StampSample {
    /// Nanoseconds and tick of each.
    pub(crate) stamps: Vec<(i64, u64)>,
    /// Whether these are all.
    pub(crate) ended: bool,
}

/// Why a record is no row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) expected: String,
    pub(crate) found: Vec<u8>,
}

/// When a request was and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) stamp: field::Stamp,
    pub(crate) at: StampedAt,
    pub(crate) service_ns: Option<u64>,
    pub(crate) total_ns: Option<u64>,
}

impl DescribedReader {
    /// A reader of `lines`, in which columns have `columns` as their names.
    pub(crate) fn new(lines: Lines, plan: Plan, columns: Vec<String>) -> Self {
        let mut header_lines = 0;
        let names = match &plan.finder {
            Finder::Text(pattern) => Names::Text(pattern.clone()),
            Finder::Columns { separator, header_lines: lines } => {
                header_lines = *lines;
                Names::Columns { names: columns, separator: *separator }
            }
            Finder::Directives => directives(columns),
            Finder::Json => Names::Json,
            Finder::Pairs => Names::Pairs,
        };
        DescribedReader { lines, plan, names, header_lines }
    }

    /// The stamps of the first rows; what is wrong with a row is told when it is read.
    pub(crate) fn stamps(mut self) -> StampSample {
        let mut sample = StampSample::default();
        while sample.stamps.len() < SAMPLE_ROWS {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    sample.ended = true;
                    break;
                }
                Err(_) => break,
            }
            let Ok(fields) = self.names.open(self.lines.line()) else { break };
            if self.plan.is_request(&fields) {
                let Ok(times) = self.plan.times(&fields) else { break };
                sample.stamps.push((times.stamp.nanos, times.stamp.tick_ns));
            }
        }
        sample
    }

    /// Moves to the next line that may be a row.
    fn advance(&mut self) -> Result<bool, TrafficError> {
        loop {
            let more = match self.plan.finder {
                Finder::Columns { .. } => self.lines.advance_record()?,
                _ => self.lines.advance()?,
            };
            if !more {
                return Ok(false);
            }
            if self.header_lines > 0 {
                self.header_lines -= 1;
                continue;
            }
            let line = self.lines.line();
            match self.plan.finder {
                Finder::Directives if line.starts_with(b"#") => {
                    // A server that starts again may write other fields from here on.
                    if let Some(columns) = format::directive_fields(line) {
                        self.names = directives(columns);
                    }
                }
                Finder::Pairs if memchr::memchr(b'=', line).is_none_or(|at| at == 0) => {}
                _ => return Ok(true),
            }
        }
    }

    fn row(&self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        let line = self.lines.line();
        let fields = self.names.open(line).map_err(|unfit| {
            self.lines.bad(unfit.at, &unfit.expected, &line[unfit.at.min(line.len())..])
        })?;
        if !self.plan.is_request(&fields) {
            return Ok(None);
        }
        let times = self
            .plan
            .times(&fields)
            .map_err(|wrong| self.lines.bad(wrong.at, &wrong.expected, &wrong.found))?;
        let total_ns = match times.at {
            StampedAt::Start => Some(0),
            StampedAt::End => times.total_ns.or(times.service_ns),
        };
        let revision = self.revision(&fields, names);
        let (stamp_ns, service_ns) = (times.stamp.nanos, times.service_ns);
        Ok(Some(Row { stamp_ns, service_ns, total_ns, revision }))
    }

    fn revision(&self, fields: &Fields<'_>, names: &mut RevisionNames) -> RevisionIndex {
        if self.plan.revisions.is_empty() {
            return RevisionIndex(0);
        }
        let named = self.plan.revisions.iter().find_map(|field| {
            let found = fields.get(&self.plan.fields[*field])?;
            let text = String::from_utf8_lossy(&found.text).into_owned();
            let none = matches!(text.as_str(), "" | "-" | "null");
            (!none || self.plan.unnamed == Unnamed::AsItIs).then_some(text)
        });
        match (named, self.plan.unnamed) {
            (Some(name), _) => names.intern(&short_name(&name.split('/').collect::<Vec<_>>())),
            (None, Unnamed::First) if !names.is_empty() => RevisionIndex(0),
            (None, Unnamed::First) => names.intern("traffic"),
            (None, _) => names.intern(UNNAMED),
        }
    }
}

/// Names of the columns of W3C's extended format.
fn directives(names: Vec<String>) -> Names {
    Names::Columns { names, separator: BLANKS }
}

impl Plan {
    /// Whether a record is a request at all.
    pub(crate) fn is_request(&self, fields: &Fields<'_>) -> bool {
        // Around rows of pairs stand lines of other kinds: the frame of a document, other messages.
        if matches!(self.finder, Finder::Pairs) && fields.get(self.no_time.0).is_none() {
            return false;
        }
        self.filters.iter().all(|filter| {
            let found = fields.get(&self.fields[filter.field]);
            filter.keeps(found.as_ref())
        })
    }

    /// The times of a record.
    pub(crate) fn times(&self, fields: &Fields<'_>) -> Result<Times, Wrong> {
        let (stamp, at) = self.stamp(fields)?;
        let service_ns = self.first(&self.services, fields)?;
        let total_ns = self.first(&self.totals, fields)?;
        Ok(Times { stamp, at, service_ns, total_ns })
    }

    fn stamp(&self, fields: &Fields<'_>) -> Result<(field::Stamp, StampedAt), Wrong> {
        for moment in &self.moments {
            let Some(found) = joined(moment, &self.fields, fields) else { continue };
            // Envoy puts its stamp into brackets.
            let text = match self.decimal_comma {
                true => Cow::Owned(pointed(bare(&found.text))),
                false => Cow::Borrowed(bare(&found.text)),
            };
            return match field::stamp(&text, moment.unit) {
                Some(stamp) => Ok((stamp, moment.at)),
                None => Err(Wrong {
                    at: found.at,
                    expected: self.moment_expected(moment.unit),
                    found: found.text.to_vec(),
                }),
            };
        }
        let (key, remedy) = self.no_time;
        let at = fields.get(key).map_or(0, |found| found.at);
        let names: Vec<String> =
            self.moments.iter().map(|moment| self.names(&moment.fields)).collect();
        let expected = match remedy {
            "" => format!("a time (missing field `{}`)", names.join("` or `")),
            remedy => format!("a time; {remedy}"),
        };
        Err(Wrong { at, expected, found: Vec::new() })
    }

    /// What an error about a stamp names as expected.
    fn moment_expected(&self, unit: Option<Unit>) -> String {
        match (&self.finder, unit) {
            (Finder::Json, _) => "a time (a number, or ISO 8601)".into(),
            (_, Some(unit)) => format!("a time in {}", unit.name()),
            _ => "a time (a number, or like 2023-11-16T18:17:03.979Z)".into(),
        }
    }

    /// The first of `alternatives` whose fields are there. One that says "this never happened"
    /// is an answer too.
    fn first(&self, alternatives: &[Vec<Part>], fields: &Fields<'_>) -> Result<Option<u64>, Wrong> {
        let there = |part: &Part| fields.get(&self.fields[part.field]).is_some();
        let columns = self.missing != Missing::Dash;
        let found = alternatives.iter().find(|parts| columns || parts.iter().all(there));
        found.map_or(Ok(None), |parts| self.sum(parts, fields))
    }

    fn sum(&self, parts: &[Part], fields: &Fields<'_>) -> Result<Option<u64>, Wrong> {
        let mut sum: i64 = 0;
        for part in parts {
            let name = &self.fields[part.field];
            let Some(found) = fields.get(name) else {
                if self.missing == Missing::Dash {
                    return Ok(None);
                }
                let expected = format!("a service time in {name}, but the row is shorter");
                return Err(Wrong { at: fields.length(), expected, found: Vec::new() });
            };
            if self.is_missing(&found.text) {
                return Ok(None);
            }
            let value = self.value(*part, &found.text);
            let value = value.filter(|value| *value >= 0).ok_or_else(|| Wrong {
                at: found.at,
                expected: match part.measure {
                    Measure::Time(_) => "a service time that is not negative".into(),
                    _ => "a count of tokens".into(),
                },
                found: found.text.to_vec(),
            })?;
            sum = match part.sign {
                Sign::Plus => sum.saturating_add(value),
                Sign::Minus => sum.saturating_sub(value),
            };
        }
        // Clocks that were set back meanwhile give a span below zero.
        Ok(if parts.iter().all(|part| self.is_untimed(part.measure)) {
            None
        } else {
            Some(u64::try_from(sum).unwrap_or(0))
        })
    }

    /// Tokens without `--token-times` are no time.
    fn is_untimed(&self, measure: Measure) -> bool {
        self.tokens.is_none() && !matches!(measure, Measure::Time(_))
    }

    /// Whether `text` stands for "this never happened".
    fn is_missing(&self, text: &[u8]) -> bool {
        match self.missing {
            Missing::Refused => false,
            Missing::Empty => text.is_empty(),
            Missing::Dash => matches!(text, b"" | b"-" | b"-1" | b"null" | b"-1.0"),
        }
    }

    fn value(&self, part: Part, text: &[u8]) -> Option<i64> {
        let each = |nanos: Option<u64>| -> Option<i64> {
            let count = i64::try_from(field::count(text)?).ok()?;
            Some(count.saturating_mul(i64::try_from(nanos.unwrap_or(0)).unwrap_or(i64::MAX)))
        };
        match part.measure {
            Measure::Time(unit) if self.decimal_comma => {
                field::suffixed_nanos(&pointed(text), unit)
            }
            Measure::Time(unit) => span(text, unit),
            Measure::PromptTokens => each(self.tokens.map(|times| times.input.as_nanos())),
            Measure::AnswerTokens => each(self.tokens.map(|times| times.output.as_nanos())),
        }
    }
}

impl Filter {
    fn keeps(&self, found: Option<&Found<'_>>) -> bool {
        let among = found.is_some_and(|found| {
            self.values.iter().any(|value| match value.strip_suffix('*') {
                Some(beginning) => found.text.starts_with(beginning.as_bytes()),
                None => found.text.as_ref() == value.as_bytes(),
            })
        });
        match self.kept {
            Kept::These => among,
            Kept::Others => !among,
        }
    }
}

/// `text` without brackets around it.
fn bare(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"[").map_or(text, |inner| inner.strip_suffix(b"]").unwrap_or(inner))
}

/// The text of a moment; `None` when a part of it is not there.
fn joined<'a>(moment: &Moment, names: &[String], fields: &'a Fields<'_>) -> Option<Found<'a>> {
    let mut parts = moment.fields.iter().map(|field| fields.get(&names[*field]));
    let mut first = parts.next()??;
    for part in parts {
        let text = first.text.to_mut();
        text.push(b' ');
        text.extend_from_slice(&part?.text);
    }
    (!matches!(first.text.as_ref(), b"" | b"-")).then_some(first)
}

/// `text` with a decimal point instead of a comma.
fn pointed(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if *byte == b',' { b'.' } else { *byte }).collect()
}

/// Nanoseconds of one part: a number of `unit`, one with its unit behind it, several tries of an
/// upstream one after another, or a moment that another one is taken from.
fn span(text: &[u8], unit: Unit) -> Option<i64> {
    if let Some(nanos) = field::suffixed_nanos(text, unit) {
        return Some(nanos);
    }
    if text.iter().any(|byte| matches!(byte, b'-' | b'T')) {
        return field::stamp(text, Some(unit)).map(|stamp| stamp.nanos);
    }
    let tries = text.split(|byte| matches!(byte, b',' | b':' | b' '));
    let mut sum = None;
    for part in tries.filter(|part| !part.is_empty() && *part != b"-") {
        sum = Some(field::nanos(part, unit)?.saturating_add(sum.unwrap_or(0)));
    }
    sum
}

impl RowReader for DescribedReader {
    fn next_row(&mut self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        while self.advance()? {
            if let Some(row) = self.row(names)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn stamped_at(&self) -> StampedAt {
        self.plan.stamped_at()
    }

    fn spread_ns(&self) -> Option<u64> {
        self.plan.spread_ns
    }

    fn location(&self) -> Location {
        self.lines.location(0)
    }
}
