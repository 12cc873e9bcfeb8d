//! The formats by name, and those that are told by a header or a key of their own.
//!
//! Formats with one request a record are described in [`crate::catalogue`]; the others are here.

use std::fmt;
use std::str::FromStr;

use tidegate_words::choose;

use crate::catalogue;
use crate::field;
use crate::options::Declared;
use crate::recording;

/// A trace format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Azure Functions 2019: invocations per function and minute.
    Azure2019,
    /// Azure Functions 2021: application, function, end and duration of each invocation.
    Azure2021,
    /// Azure LLM inference 2023 to 2025: time and tokens of each request.
    AzureLlm,
    /// IBM Code Engine 2025, as lines of JSON or one request a line.
    Ibm,
    /// Huawei 2023: requests per time step, one column a function.
    HuaweiCounts,
    /// Huawei 2025: one request a line.
    HuaweiRequests,
    /// BurstGPT: one request a line.
    BurstGpt,
    /// OpenDC serverless: invocations and mean execution time per time step of one function.
    OpenDc,
    /// Any CSV: arrival, then optionally service time and revision.
    Csv,
    /// Any lines of JSON with an arrival, and optionally a service time and a revision.
    JsonLines,
    /// A count per time step.
    Counts,
    /// Answer of Prometheus to `query_range`, as JSON.
    Prometheus,
    /// `locust --csv`: how many requests there were, second by second.
    LocustHistory,
    /// What `tidegate run --record` and `TIDEGATE_RECORD` write.
    Recording,
    /// One of the formats that are described as data, by its name.
    Known(&'static str),
}

/// Formats that are not described as data, with the name `--format` takes.
const NAMES: [(Format, &str); 14] = [
    (Format::Azure2019, "azure2019"),
    (Format::Azure2021, "azure2021"),
    (Format::AzureLlm, "azure-llm"),
    (Format::Ibm, "ibm"),
    (Format::HuaweiCounts, "huawei-counts"),
    (Format::HuaweiRequests, "huawei-requests"),
    (Format::BurstGpt, "burstgpt"),
    (Format::OpenDc, "opendc"),
    (Format::Csv, "csv"),
    (Format::JsonLines, "jsonl"),
    (Format::Counts, "counts"),
    (Format::Prometheus, "prometheus"),
    (Format::LocustHistory, "locust-history"),
    (Format::Recording, "recording"),
];

/// Names of the arrival column of a generic file, in order of preference.
pub(crate) const ARRIVAL_NAMES: [&str; 14] = [
    "arrival",
    "arrived",
    "start",
    "timestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "at",
    "start_time",
    "arrival_time",
    "request_time",
    "offset",
    "t",
];

/// Names of the service-time column of a generic file.
pub(crate) const SERVICE_NAMES: [&str; 13] = [
    "service",
    "service_time",
    "duration",
    "latency",
    "elapsed",
    "response_time",
    "exec_time",
    "execution_time",
    "runtime",
    "processing_time",
    "took",
    "request_duration",
    "length",
];

/// Names of the revision column of a generic file.
pub(crate) const REVISION_NAMES: [&str; 9] =
    ["revision", "function", "func", "service_name", "app", "name", "host", "route", "endpoint"];

/// Names of the count column of a file of counts.
pub(crate) const COUNT_NAMES: [&str; 8] =
    ["count", "counts", "requests", "invocations", "arrivals", "rps", "rate", "hits"];

impl Format {
    /// The name that `--format` takes.
    pub fn name(self) -> &'static str {
        match self {
            Format::Known(name) => name,
            other => NAMES.iter().find(|(format, _)| *format == other).map_or("csv", |(_, n)| n),
        }
    }

    /// Every name, separated by commas.
    pub fn names() -> String {
        let all: Vec<&str> = every().iter().map(|(_, name)| *name).collect();
        all.join(", ")
    }
}

/// Every format with its name.
fn every() -> Vec<(Format, &'static str)> {
    let described = catalogue::names().into_iter().map(|name| (Format::Known(name), name));
    NAMES.into_iter().chain(described).collect()
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        choose(text, &every(), |(_, name)| name).map(|(format, _)| format)
    }
}

/// Binary containers that are no trace, with what to do instead.
pub(crate) fn unreadable(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x80, 2..=5, ..] => Some(
            "is a Python pickle, which only Python can open safely; convert it first, for example: \
             python3 -c \"import pandas as p; p.read_pickle('week_1.pickle')\
             .to_json('week_1.jsonl', orient='records', lines=True)\"",
        ),
        [b'P', b'K', 3, 4, ..] => Some("is a zip archive; unpack it and name the file inside"),
        [b'7', b'z', 0xbc, 0xaf, ..] => Some("is a 7z archive; unpack it and name the file inside"),
        [b'P', b'A', b'R', b'1', ..] => {
            Some("is a Parquet file; convert it to CSV first (for example with duckdb or pandas)")
        }
        [b'S', b'Q', b'L', b'i', b't', b'e', b' ', ..] => Some(
            "is a database of SQLite; print its table as CSV first (sqlite3 -header -csv), with \
             one request a row",
        ),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some("is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8")
        }
        [0, 0, 0, _, b'0'..=b'9', b'.', ..] => Some(
            "is Gatling's binary simulation.log, as 3.12 and later write it; convert it with \
             gatling's own tools to one row a request first",
        ),
        [b'B', b'Z', b'h', ..] => {
            Some("is packed with bzip2; unpack it, or pack it with gzip or zstd")
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            Some("is packed with xz; unpack it, or pack it with gzip or zstd")
        }
        _ => None,
    }
}

/// The first line that is not blank.
pub(crate) fn first_line(head: &[u8]) -> &[u8] {
    head.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
        .unwrap_or(b"")
}

/// What separates the columns of a line: what it has most of, outside quotes; commas when in doubt.
pub(crate) fn separator(line: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    for byte in line {
        quoted ^= *byte == b'"';
        if !quoted && let Some((_, count)) = counts.iter_mut().find(|(known, _)| known == byte) {
            *count += 1;
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
    counts.iter().find(|(_, count)| *count == most).map_or(b',', |(byte, _)| *byte)
}

/// Names of a header line, in lower case, without quotes.
pub(crate) fn header(line: &[u8]) -> Vec<String> {
    let names = header_as_written(line, separator(line));
    names.into_iter().map(|name| name.to_lowercase()).collect()
}

/// Fields of a line as they are written, without quotes.
pub(crate) fn header_as_written(line: &[u8], separator: u8) -> Vec<String> {
    let mut fields = Vec::new();
    field::split(line, separator, &mut fields);
    fields
        .iter()
        .map(|span| {
            let end = span.end.min(line.len());
            String::from_utf8_lossy(&line[span.start.min(end)..end]).trim().to_owned()
        })
        .collect()
}

/// The names in a `#Fields:` line of W3C's extended format.
pub(crate) fn directive_fields(line: &[u8]) -> Option<Vec<String>> {
    let names = line.strip_prefix(b"#Fields:")?;
    let text = String::from_utf8_lossy(names);
    Some(text.split_whitespace().map(str::to_owned).collect())
}

/// A column's name without its unit: `Timestamp [ms]` and `timestamp_ms` are both `timestamp`.
pub(crate) fn stem(name: &str) -> String {
    let name = name.replace(['-', ' ', '.'], "_");
    let cut = name.find(['[', '(']).map_or(name.as_str(), |at| &name[..at]);
    let cut = cut.trim_end_matches('_');
    for unit in ["_ns", "_us", "_ms", "_s", "_sec", "_secs", "_seconds", "_millis", "_micros"] {
        if let Some(short) = cut.strip_suffix(unit) {
            return short.strip_suffix("_unix").unwrap_or(short).to_owned();
        }
    }
    cut.strip_suffix("_unix").unwrap_or(cut).to_owned()
}

/// Column of the first of `wanted` among `names`, compared without units.
pub(crate) fn column(names: &[String], wanted: &[&str]) -> Option<usize> {
    wanted.iter().find_map(|wanted| names.iter().position(|name| stem(name) == *wanted))
}

/// A format with a header or a key of its own, of those that are not described as data.
pub(crate) fn special(line: &[u8]) -> Option<Format> {
    match line.first() {
        Some(b'{') => of_key(line),
        _ => of_header(line),
    }
}

/// A whole document, or the beginning of one, that is read as a document.
pub(crate) fn of_document(head: &[u8]) -> Option<Format> {
    let has = |key: &[u8]| memchr::memmem::find(head, key).is_some();
    let kind = has(b"\"resultType\"") && !has(b"\"streams\"");
    let failed = has(b"\"errorType\"") && has(b"\"status\"");
    let begins = matches!(first_line(head).first(), Some(b'{'));
    (begins && (kind || failed)).then_some(Format::Prometheus)
}

/// Lines of JSON whose first may be longer than what is looked at.
fn of_key(line: &[u8]) -> Option<Format> {
    if recording::begins(line) {
        return Some(Format::Recording);
    }
    memchr::memmem::find(line, b"\"InvocationTimes\"").map(|_| Format::Ibm)
}

fn of_header(line: &[u8]) -> Option<Format> {
    let names = header(line);
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("hashfunction") && names.iter().any(|name| name.parse::<u32>().is_ok()) {
        return Some(Format::Azure2019);
    }
    if has("end_timestamp") && has("duration") && has("func") {
        return Some(Format::Azure2021);
    }
    if has("timestamp") && has("contexttokens") && has("generatedtokens") {
        return Some(Format::AzureLlm);
    }
    if has("time_worker") && has("totalcost_worker") {
        return Some(Format::HuaweiRequests);
    }
    if has("day") && has("time") && names.len() > 2 && !has("requestid") {
        return Some(Format::HuaweiCounts);
    }
    if has("timestamp") && has("request tokens") && has("response tokens") {
        return Some(Format::BurstGpt);
    }
    if has("apphash") && names.iter().any(|name| name.starts_with("invocationtime")) {
        return Some(Format::Ibm);
    }
    if has("timestamp") && has("total request count") && has("requests/s") {
        return Some(Format::LocustHistory);
    }
    (names.iter().any(|name| name.starts_with("avg exec time")) && has("invocations"))
        .then_some(Format::OpenDc)
}

/// Whether a column of time is among `columns`.
pub(crate) fn is_arrival(columns: &[String]) -> bool {
    let lower: Vec<String> = columns.iter().map(|name| name.to_lowercase()).collect();
    column(&lower, &ARRIVAL_NAMES).is_some()
}

/// A table of counts: a time and a count, and nothing that says how long a request took.
pub(crate) fn counts(columns: &[String], declared: &Declared) -> Option<Format> {
    let lower: Vec<String> = columns.iter().map(|name| name.to_lowercase()).collect();
    let time = column(&lower, &ARRIVAL_NAMES)
        .or_else(|| lower.iter().position(|name| matches!(name.as_str(), "minute" | "second")));
    let explicit = declared.time.is_some() || declared.service.is_some();
    (!explicit && time.is_some() && column(&lower, &COUNT_NAMES).is_some())
        .then_some(Format::Counts)
}
