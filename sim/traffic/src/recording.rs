//! Our own recordings: what came to a service, and under which settings it ran.

use tidegate_recording::line::is_head;
use tidegate_recording::{Line, LineError, Place, Recorded};
use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::error::{Location, TrafficError};
use crate::input::{Input, Lines};
use crate::options::Grouping;
use crate::rows::{BadRows, Row, RowReader, StampedAt};

/// Columns of the rows that sidecars wrote before recordings had a head.
const OLD_COLUMNS: [&str; 2] = ["start_unix_us", "service_us"];

/// What to do about such rows.
pub(crate) const OLD: &str = "is a recording of an older release, made at the sidecars: when \
     requests came to the front door, what they waited there and the settings are not in it; \
     record anew with `tidegate run --record`, or read its rows as they are with --format csv \
     --fields time=start_unix_us,service=service_us --time-unit us --service-unit us";

/// Whether a file that begins with `line` is a recording.
pub(crate) fn begins(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && is_head(line)
}

/// Whether it is one of an older release.
pub(crate) fn is_old(names: &[String]) -> bool {
    OLD_COLUMNS.iter().all(|wanted| names.iter().any(|name| name == wanted))
}

/// Reads requests; what else stands in a recording is passed over.
pub(crate) struct RecordingReader {
    lines: Lines,
    grouping: Grouping,
    /// The moment from which arrivals are counted, in microseconds since 1970.
    began_us: u64,
}

impl RecordingReader {
    pub(crate) fn new(lines: Lines, grouping: Grouping, recorded: &Recorded) -> Self {
        Self { lines, grouping, began_us: recorded.began_unix_us }
    }
}

impl RowReader for RecordingReader {
    fn next_row(&mut self, names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        while self.lines.advance()? {
            let line = Line::read(self.lines.line()).map_err(|wrong| bad(&self.lines, &wrong))?;
            let Line::Request(request) = line else { continue };
            let after_us = request.arrived_unix_us.saturating_sub(self.began_us);
            let revision = match self.grouping {
                Grouping::All => RevisionIndex(0),
                Grouping::Function | Grouping::App => names.intern(&request.revision),
            };
            return Ok(Some(Row {
                stamp_ns: i64::try_from(after_us.saturating_mul(1_000)).unwrap_or(i64::MAX),
                service_ns: request.service_us.map(|micros| micros.saturating_mul(1_000)),
                total_ns: None,
                revision,
            }));
        }
        Ok(None)
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Start
    }

    fn spread_ns(&self) -> Option<u64> {
        None
    }

    fn location(&self) -> Location {
        self.lines.location(0)
    }
}

fn bad(lines: &Lines, wrong: &LineError) -> TrafficError {
    match wrong {
        LineError::Malformed { column, problem } => {
            let from = column.saturating_sub(1).min(lines.line().len());
            lines.bad(from, &format!("a line of a recording ({problem})"), &lines.line()[from..])
        }
        LineError::Version(_) => {
            let location = lines.location(0);
            TrafficError::Unsupported { file: location.file, why: wrong.to_string() }
        }
    }
}

/// Reads a whole recording.
pub(crate) fn summed_up(input: &Input, bad_rows: BadRows) -> Result<Recorded, TrafficError> {
    let mut lines = input.lines()?;
    let mut recorded: Option<Recorded> = None;
    while lines.advance()? {
        let line = match Line::read(lines.line()) {
            Ok(line) => line,
            // The first line says what the others are: it is never left out.
            Err(LineError::Malformed { .. }) if bad_rows == BadRows::Skip && recorded.is_some() => {
                continue;
            }
            Err(wrong) => return Err(bad(&lines, &wrong)),
        };
        let added = match &mut recorded {
            Some(recorded) => recorded.add(line),
            None => Recorded::begin(line).map(|begun| recorded = Some(begun)),
        };
        added.map_err(|wrong| {
            let location = lines.location(1);
            let problem = wrong.to_string();
            TrafficError::Document {
                file: location.file,
                line: usize::try_from(location.line).unwrap_or(usize::MAX),
                column: 1,
                problem,
            }
        })?;
    }
    recorded.ok_or_else(|| {
        let file = input.name().to_owned();
        TrafficError::Unsupported { file, why: "is an empty recording".to_owned() }
    })
}

/// What was taken for what.
pub(crate) fn sentence(recorded: &Recorded) -> String {
    let place = match recorded.head.recorded_at {
        Place::FrontDoor => "the front door",
        Place::Sidecar => "a sidecar",
    };
    format!(
        "arrived_unix_us is the arrival at {place}, in microseconds after it began to record; \
         service_us is the service time in microseconds; revision is the revision"
    )
}

/// What is missing of it.
pub(crate) fn warnings(recorded: &Recorded) -> Vec<String> {
    let mut warnings = Vec::new();
    match recorded.end {
        Some(end) if end.lost > 0 => warnings.push(format!(
            "{} lines could not be written while it was recorded, because the disk was too slow \
             or full",
            end.lost
        )),
        None if recorded.head.recorded_at == Place::FrontDoor => warnings.push(
            "it has no end: it is still being written, or was cut off; the simulation ends with \
             its last request"
                .to_owned(),
        ),
        Some(_) | None => {}
    }
    if recorded.events_left_out > 0 {
        warnings.push(format!(
            "{} changes of instances are left out: start-ups are taken from those before",
            recorded.events_left_out
        ));
    }
    warnings
}
