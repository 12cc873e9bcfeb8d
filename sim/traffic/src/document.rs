//! Formats that are one document or hold one app a line: read whole, within bounds.

use std::io::Read;

use serde::Deserialize;
use serde_json::Value;

use tidegate_sim::arrival::{RevisionIndex, RevisionNames};

use crate::error::{Location, TrafficError};
use crate::input::{Input, Lines};
use crate::options::Grouping;
use crate::rows::{Row, RowReader, StampedAt};

/// Largest HAR or Prometheus document: a browser's archive with all bodies is below 100 MB, an
/// answer of Prometheus has at most 11,000 points a series.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Most requests of an IBM week that may be held while its apps are merged: 24 bytes each.
const IBM_ROWS_MAX: usize = 16 << 20;

/// Rows already in memory and in order.
pub(crate) struct ListReader {
    rows: std::vec::IntoIter<Row>,
    file: String,
}

/// An app's week as `DataFrame.to_json(orient='records', lines=True)` writes it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IbmApp {
    namespace_hash: Option<String>,
    app_hash: String,
    invocation_times: Vec<f64>,
    app_exec_times: Vec<f64>,
}

/// The document in `input`, or an error with its line and column.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(input: &Input) -> Result<T, TrafficError> {
    let reader = input.reader()?.take(DOCUMENT_BYTES_MAX);
    serde_json::from_reader(reader).map_err(|error| document_error(input, &error))
}

/// Every value in `input`: one, or one after another.
pub(crate) fn values(input: &Input) -> Result<Vec<Value>, TrafficError> {
    let reader = input.reader()?.take(DOCUMENT_BYTES_MAX);
    let values = serde_json::Deserializer::from_reader(reader).into_iter();
    values.collect::<Result<_, _>>().map_err(|error| document_error(input, &error))
}

fn document_error(input: &Input, error: &serde_json::Error) -> TrafficError {
    if error.is_io() {
        return input.io(std::io::Error::other(error.to_string()));
    }
    let whole = error.to_string();
    let problem = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
    let file = input.name().to_owned();
    TrafficError::Document { file, line: error.line(), column: error.column(), problem }
}

/// Requests of every app, merged; an app's times come in order, but apps come one after another.
pub(crate) fn ibm(
    input: &Input,
    mut lines: Lines,
    grouping: Grouping,
    names: &mut RevisionNames,
) -> Result<ListReader, TrafficError> {
    let mut rows = Vec::new();
    while lines.advance()? {
        let app: IbmApp = serde_json::from_slice(lines.line()).map_err(|error| {
            let column = error.column().saturating_sub(1).min(lines.line().len());
            let expected = "an app with AppHash, InvocationTimes and AppExecTimes";
            lines.bad(column, expected, &lines.line()[column..])
        })?;
        if app.invocation_times.len() != app.app_exec_times.len() {
            let found = format!("{} and {}", app.invocation_times.len(), app.app_exec_times.len());
            let expected = "as many InvocationTimes as AppExecTimes";
            return Err(lines.bad(0, expected, found.as_bytes()));
        }
        if rows.len() + app.invocation_times.len() > IBM_ROWS_MAX {
            let why = format!(
                "holds more than {IBM_ROWS_MAX} requests, too many to merge in memory; write one \
                 request a line, sorted by time (DataFrame.explode, then to_csv), instead"
            );
            return Err(TrafficError::Unsupported { file: input.name().to_owned(), why });
        }
        let revision = match (grouping, &app.namespace_hash) {
            (Grouping::All, _) => RevisionIndex(0),
            (_, Some(namespace)) => names.intern(&format!("{namespace}/{}", app.app_hash)),
            (_, None) => names.intern(&app.app_hash),
        };
        for (time, took) in app.invocation_times.iter().zip(&app.app_exec_times) {
            let (Some(stamp), Some(service)) = (span(*time, 1e9), span(*took, 1e6)) else {
                let found = format!("{time} and {took}");
                let expected = "times that are finite and not negative";
                return Err(lines.bad(0, expected, found.as_bytes()));
            };
            rows.push(Row {
                stamp_ns: i64::try_from(stamp).unwrap_or(i64::MAX),
                service_ns: Some(service),
                total_ns: None,
                revision,
            });
        }
    }
    Ok(ListReader::sorted(rows, input.name()))
}

/// `value` in units of `nanos`, when it is a sensible time.
fn span(value: f64, nanos: f64) -> Option<u64> {
    let sensible = value.is_finite() && value >= 0.0;
    sensible.then_some((value * nanos + 0.5) as u64)
}

impl ListReader {
    fn sorted(mut rows: Vec<Row>, file: &str) -> Self {
        rows.sort_by_key(|row| row.stamp_ns);
        ListReader { rows: rows.into_iter(), file: file.to_owned() }
    }
}

impl RowReader for ListReader {
    fn next_row(&mut self, _names: &mut RevisionNames) -> Result<Option<Row>, TrafficError> {
        Ok(self.rows.next())
    }

    fn stamped_at(&self) -> StampedAt {
        StampedAt::Start
    }

    fn spread_ns(&self) -> Option<u64> {
        None
    }

    fn location(&self) -> Location {
        Location { file: self.file.clone(), line: 0, column: 0 }
    }
}
