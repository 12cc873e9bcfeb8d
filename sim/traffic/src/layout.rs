//! Which column is what, for each format with one request a line.

use crate::error::TrafficError;
use crate::field::{self, Clock, Unit};
use crate::format::{self, ARRIVAL_NAMES, Format, REVISION_NAMES, SERVICE_NAMES};
use crate::input::Input;
use crate::options::{Grouping, Spread, TokenTimes};
use crate::table::{Layout, Measure, Missing, Part};

/// Stamps whose ticks are at least this long are coarse: one tenth of a second is more than any
/// logger's precision and already makes false bursts.
const COARSE_TICK_NS: u64 = 100_000_000;

/// Rows of the head that are looked at to learn the tick of a column.
const SAMPLE_ROWS: usize = 1_000;

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
        Format::Recording => recording(&names, grouping)?,
        Format::Ibm if line.first() != Some(&b'{') => ibm(&names, grouping)?,
        Format::Hey => hey(&names)?,
        Format::Vegeta => vegeta(),
        Format::Alb => alb(),
        Format::Envoy => envoy(grouping),
        Format::Csv => generic(input, line, &names.names, grouping)?,
        _ => return Ok(None),
    };
    Ok(Some(spread(layout, head, options.spread)))
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

fn recording(names: &Header<'_>, grouping: Grouping) -> Result<Layout, TrafficError> {
    let time = names.column("start_unix_us")?;
    let mut layout = Layout::csv(time, Clock::Number(Unit::Micros))
        .service(names.column("service_us")?, Unit::Micros);
    if grouping != Grouping::All
        && let Ok(column) = names.column("revision")
    {
        layout.revision = vec![column];
    }
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

fn hey(names: &Header<'_>) -> Result<Layout, TrafficError> {
    let time = names.column("offset")?;
    let service = names.column("response-time")?;
    Ok(Layout::csv(time, Clock::Number(Unit::Seconds)).service(service, Unit::Seconds))
}

/// Time stamp, status, latency, sizes, error, body, attack, sequence, method, URL, headers.
fn vegeta() -> Layout {
    let layout = Layout::csv(0, Clock::Number(Unit::Nanos)).service(2, Unit::Nanos);
    Layout { header_lines: 0, ..layout }
}

/// Field 22 is when the request was received; 6, 7 and 8 are the three processing times.
fn alb() -> Layout {
    let layout = Layout::log(21).service(6, Unit::Seconds);
    Layout { total: None, ..layout }
}

/// Stamp, request, code, flags, bytes, bytes, duration, upstream's time, forwarded-for, agent, id,
/// authority, upstream. The upstream's time leaves out what was spent waiting in Envoy.
fn envoy(grouping: Grouping) -> Layout {
    let mut layout = Layout::log(0).service(7, Unit::Millis);
    if grouping != Grouping::All {
        layout.revision = vec![11];
    }
    layout
}

/// Any CSV: columns by their names, or by their order when there is no header.
fn generic(
    input: &Input,
    line: &[u8],
    names: &[String],
    grouping: Grouping,
) -> Result<Layout, TrafficError> {
    if names.first().is_some_and(|name| field::stamp(name.as_bytes(), None).is_some()) {
        let mut layout = Layout::csv(0, Clock::Any);
        layout.missing = Missing::Empty;
        layout.header_lines = 0;
        if names.len() > 1 {
            layout = layout.service(1, Unit::Seconds);
        }
        if names.len() > 2 && grouping != Grouping::All {
            layout.revision = vec![2];
        }
        return Ok(layout);
    }
    let Some(time) = format::column(names, &ARRIVAL_NAMES) else {
        return Err(TrafficError::BadRow {
            location: super::error::Location { file: input.name().to_owned(), line: 1, column: 1 },
            expected: format!("a header with an arrival column ({})", ARRIVAL_NAMES.join(", ")),
            found: super::error::quote(line),
            hint: "",
        });
    };
    let clock = Unit::of_name(&names[time]).map_or(Clock::Any, Clock::Number);
    let mut layout = Layout::csv(time, clock);
    layout.missing = Missing::Empty;
    if let Some(service) = format::column(names, &SERVICE_NAMES) {
        layout = layout.service(service, Unit::of_name(&names[service]).unwrap_or(Unit::Seconds));
    }
    if grouping != Grouping::All {
        layout.revision = format::column(names, &REVISION_NAMES).into_iter().collect();
    }
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
        field::split(line, layout.separator, layout.quoting, &mut fields);
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
