//! Which column is what, for each format with one request a line.

use crate::error::TrafficError;
use crate::field::{self, Clock, Unit};
use crate::format::{self, Format};
use crate::input::Input;
use crate::options::{Grouping, Spread, TokenTimes};
use crate::table::{Layout, Measure, Missing, Part};

/// Stamps whose ticks are at least this long are coarse: one tenth of a second is more than any
/// logger's precision and already makes false bursts.
pub(crate) const COARSE_TICK_NS: u64 = 100_000_000;

/// Rows of the head from which the tick of stamps is learnt, and by which times are judged.
pub(crate) const SAMPLE_ROWS: usize = 1_000;

/// What the layout of a file depends on besides its first bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnOptions {
    pub(crate) grouping: Grouping,
    pub(crate) spread: Spread,
    pub(crate) tokens: Option<TokenTimes>,
}

/// The layout of a file of `format` that begins with `head`; `None` for formats without columns.
pub(crate) fn of(
    format: Format,
    input: &Input,
    head: &[u8],
    options: ColumnOptions,
) -> Result<Option<Layout>, TrafficError> {
    let line = format::first_line(head);
    let names = Header { file: input.name(), names: format::header(line) };
    let grouping = options.grouping;
    let layout = match format {
        Format::Azure2021 => azure_2021(&names, grouping)?,
        Format::AzureLlm => azure_llm(&names, options.tokens)?,
        Format::BurstGpt => burst_gpt(&names)?,
        Format::HuaweiRequests => huawei_requests(&names, grouping)?,
        Format::Ibm if line.first() != Some(&b'{') => ibm(&names, grouping)?,
        _ => return Ok(None),
    };
    let separator = format::separator(line);
    Ok(Some(spread(Layout { separator, ..layout }, head, options.spread)))
}

/// A header's names, with errors that say which one is missing.
struct Header<'a> {
    file: &'a str,
    names: Vec<String>,
}

impl Header<'_> {
    fn column(&self, wanted: &str) -> Result<usize, TrafficError> {
        self.names.iter().position(|name| name == wanted).ok_or_else(|| self.missing(wanted))
    }

    fn missing(&self, wanted: &str) -> TrafficError {
        TrafficError::BadRow {
            location: super::error::Location { file: self.file.to_owned(), line: 1, column: 1 },
            expected: format!("a header with a column '{wanted}'"),
            found: super::error::quote(self.names.join(",").as_bytes()),
            hint: "",
        }
    }
}

/// Columns of application and function by what a revision should be.
fn by(grouping: Grouping, app: usize, function: usize) -> Vec<usize> {
    match grouping {
        Grouping::Function => vec![app, function],
        Grouping::App => vec![app],
        Grouping::All => Vec::new(),
    }
}

fn azure_2021(names: &Header<'_>, grouping: Grouping) -> Result<Layout, TrafficError> {
    let time = names.column("end_timestamp")?;
    let mut layout = Layout::csv(time, Clock::Number(Unit::Seconds))
        .service(names.column("duration")?, Unit::Seconds)
        .ended();
    layout.revision = by(grouping, names.column("app")?, names.column("func")?);
    Ok(layout)
}

fn azure_llm(names: &Header<'_>, tokens: Option<TokenTimes>) -> Result<Layout, TrafficError> {
    let mut layout = Layout::csv(names.column("timestamp")?, Clock::Any);
    if let Some(times) = tokens {
        let input = Measure::Each(times.input.as_nanos());
        let output = Measure::Each(times.output.as_nanos());
        layout.service = vec![
            Part { column: names.column("contexttokens")?, measure: input },
            Part { column: names.column("generatedtokens")?, measure: output },
        ];
    }
    Ok(layout)
}

fn burst_gpt(names: &Header<'_>) -> Result<Layout, TrafficError> {
    let mut layout = Layout::csv(names.column("timestamp")?, Clock::Number(Unit::Seconds));
    layout.missing = Missing::Dash;
    if let Some(column) = names.names.iter().position(|name| name.starts_with("elapsed")) {
        layout = layout.service(column, Unit::Seconds);
    }
    Ok(layout)
}

/// Both stamps are written when a request ends: the front end's lies behind the worker's by about
/// what the way back takes.
fn huawei_requests(names: &Header<'_>, grouping: Grouping) -> Result<Layout, TrafficError> {
    let front = names.column("time_frontend");
    let time = front.or_else(|_| names.column("time_worker"))?;
    let mut layout = Layout::csv(time, Clock::Number(Unit::Seconds))
        .service(names.column("totalcost_worker")?, Unit::Seconds)
        .ended();
    if let Ok(column) = names.column("totalcost_frontend") {
        layout.total = Some(Part { column, measure: Measure::Time(Unit::Seconds) });
    }
    let function = names.column("funcname")?;
    layout.revision = by(grouping, names.column("userid").unwrap_or(function), function);
    Ok(layout)
}

fn ibm(names: &Header<'_>, grouping: Grouping) -> Result<Layout, TrafficError> {
    let find = |wanted: &str| names.names.iter().position(|name| name.starts_with(wanted));
    let time = find("invocationtime").ok_or_else(|| names.missing("InvocationTime"))?;
    let service = find("appexectime").ok_or_else(|| names.missing("AppExecTime"))?;
    let mut layout = Layout::csv(time, Clock::Number(Unit::Seconds)).service(service, Unit::Millis);
    let app = names.column("apphash")?;
    layout.revision = match (grouping, find("namespacehash")) {
        (Grouping::All, _) => Vec::new(),
        (_, Some(namespace)) => vec![namespace, app],
        (_, None) => vec![app],
    };
    Ok(layout)
}

/// Learns from the first rows whether stamps are so coarse that several share one.
fn spread(mut layout: Layout, head: &[u8], requested: Spread) -> Layout {
    let (tick, shared) = coarseness(&layout, head);
    layout.spread_ns = match requested {
        Spread::Never => None,
        Spread::Always => Some(tick),
        Spread::Auto => (shared && tick >= COARSE_TICK_NS).then_some(tick),
    };
    layout
}

/// The finest tick among the first rows, and whether two of them share a stamp.
fn coarseness(layout: &Layout, head: &[u8]) -> (u64, bool) {
    let mut lines = head.split(|byte| *byte == b'\n');
    for _ in 0..layout.header_lines {
        lines.next();
    }
    let (mut finest, mut shared, mut last) = (u64::MAX, false, None);
    let mut fields = Vec::new();
    for line in lines.take(SAMPLE_ROWS) {
        field::split(line, layout.separator, &mut fields);
        let Some(span) = fields.get(layout.time) else { continue };
        let text = field::trim(&line[span.start..span.end.min(line.len())]);
        if let Some(stamp) = layout.clock.stamp(text) {
            finest = finest.min(stamp.tick_ns);
            shared |= last == Some(stamp.nanos);
            last = Some(stamp.nanos);
        }
    }
    (if finest == u64::MAX { 1 } else { finest }, shared)
}
