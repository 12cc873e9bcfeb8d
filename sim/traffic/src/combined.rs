//! Access logs of nginx and Apache in the common or combined format.
//!
//! The stamp is cut to a whole second. nginx writes the *end* of a request there; Apache's default
//! `%t` is the beginning, but the difference is only visible when the line carries a duration, and
//! configurations that add one are nginx's far more often. What follows the user agent is taken as
//! the duration when it looks like one: `0.123` or `rt=0.123` are seconds (`$request_time`), a
//! whole number is microseconds (Apache's `%D`, whose stamp is a beginning), nine or ten digits
//! before a dot are `$msec`, the end to the millisecond.

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::error::{Location, TrafficError};
use crate::field::{self, Quoting, Span, Unit};
use crate::input::Lines;
use crate::options::Spread;
use crate::rows::{Row, RowReader, StampedAt};

/// Fields of the combined format before anything a site adds: request, status, size, referrer,
/// agent.
const FIELDS_AFTER_STAMP: usize = 5;

/// What a field after the standard ones holds.
enum Added {
    /// The request took so long and the stamp is its end.
    Seconds(u64),
    /// The request took so long and the stamp is its beginning.
    Micros(u64),
    /// The end to the millisecond.
    End(i64),
}

pub(crate) struct CombinedReader {
    lines: Lines,
    spread: Spread,
    fields: Vec<Span>,
    stamped_at: StampedAt,
    exact: bool,
}

impl CombinedReader {
    /// A reader of `lines` whose first line is `first`.
    pub(crate) fn new(lines: Lines, first: &[u8], spread: Spread) -> Self {
        let mut reader = CombinedReader {
            lines,
            spread,
            fields: Vec::new(),
            stamped_at: StampedAt::End,
            exact: false,
        };
        // All lines of a log have one format, so the first one decides what its stamps mean.
        if let Some(close) = memchr::memchr(b']', first) {
            let (took, exact) = reader.added(first, close + 1);
            reader.exact = exact.is_some();
            if matches!(took, Some(Added::Micros(_))) {
                reader.stamped_at = StampedAt::Start;
            }
        }
        reader
    }

    /// The duration and the exact end that fields after the standard ones give.
    fn added(&mut self, line: &[u8], from: usize) -> (Option<Added>, Option<Added>) {
        let rest = line[from.min(line.len())..].trim_ascii_start();
        field::split(rest, b' ', Quoting::Backslash, &mut self.fields);
        let (mut took, mut exact) = (None, None);
        for span in self.fields.iter().skip(FIELDS_AFTER_STAMP) {
            let text = &rest[span.start..span.end.min(rest.len())];
            match meaning(text) {
                Some(end @ Added::End(_)) => exact = exact.or(Some(end)),
                Some(time) => took = took.or(Some(time)),
                None => {}
            }
        }
        (took, exact)
    }
}

/// What one added field holds.
fn meaning(text: &[u8]) -> Option<Added> {
    let value = text.iter().rposition(|byte| *byte == b'=').map_or(text, |at| &text[at + 1..]);
    match memchr::memchr(b'.', value) {
        Some(9 | 10) => field::nanos(value, Unit::Seconds).map(Added::End),
        Some(_) => field::span_nanos(value, Unit::Seconds).map(Added::Seconds),
        None if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
            field::span_nanos(value, Unit::Micros).map(Added::Micros)
        }
        None => None,
    }
}

impl RowReader for CombinedReader {
    fn next_row(&mut self, _names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        if !self.lines.advance()? {
            return Ok(None);
        }
        let line = self.lines.line().to_vec();
        let expected = "a time like [10/Oct/2000:13:55:36 -0700]";
        let open = memchr::memchr(b'[', &line).ok_or_else(|| self.lines.bad(0, expected, &line))?;
        let length = memchr::memchr(b']', &line[open..])
            .ok_or_else(|| self.lines.bad(open, expected, &line[open..]))?;
        let text = &line[open + 1..open + length];
        let stamp =
            field::common_log(text).ok_or_else(|| self.lines.bad(open + 1, expected, text))?;
        let (took, exact) = self.added(&line, open + length + 1);
        let service_ns = match took {
            Some(Added::Seconds(span) | Added::Micros(span)) => Some(span),
            _ => None,
        };
        let stamp_ns = match exact {
            Some(Added::End(end)) => end,
            _ => stamp.nanos,
        };
        Ok(Some(Row { stamp_ns, service_ns, total_ns: None, revision: RevisionIndex(0) }))
    }

    fn stamped_at(&self) -> StampedAt {
        self.stamped_at
    }

    fn spread_ns(&self) -> Option<u64> {
        let coarse = self.spread != Spread::Never && !self.exact;
        coarse.then_some(1_000_000_000)
    }

    fn location(&self) -> Location {
        self.lines.location(0)
    }
}
