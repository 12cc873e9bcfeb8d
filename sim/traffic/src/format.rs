//! The formats by name, and which of them a file is, detected from its first bytes.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use tidegate_words::choose;

use crate::error::{TrafficError, quote};
use crate::field;

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
    /// Mooncake: lines of JSON with time and tokens.
    Mooncake,
    /// OpenDC serverless: invocations and mean execution time per time step of one function.
    OpenDc,
    /// Any CSV: arrival, then optionally service time and revision.
    Csv,
    /// Any lines of JSON with an arrival, and optionally a service time and a revision.
    JsonLines,
    /// A count per time step.
    Counts,
    /// nginx or Apache access log in the combined (or common) format.
    Combined,
    /// Envoy's default access log.
    Envoy,
    /// Envoy's default access log as JSON.
    EnvoyJson,
    /// Access log of an AWS application load balancer.
    Alb,
    /// HTTP archive of a browser.
    Har,
    /// `vegeta encode --to csv`.
    Vegeta,
    /// `hey -o csv`.
    Hey,
    /// `k6 run --out json`.
    K6,
    /// Answer of Prometheus to `query_range`, as JSON.
    Prometheus,
    /// Request log of a Knative queue-proxy or of ours.
    RequestLog,
    /// What `TIDEGATE_RECORD` and `tidegate run --record` write.
    Recording,
}

/// Every format with the name `--format` takes.
const NAMES: [(Format, &str); 23] = [
    (Format::Azure2019, "azure2019"),
    (Format::Azure2021, "azure2021"),
    (Format::AzureLlm, "azure-llm"),
    (Format::Ibm, "ibm"),
    (Format::HuaweiCounts, "huawei-counts"),
    (Format::HuaweiRequests, "huawei-requests"),
    (Format::BurstGpt, "burstgpt"),
    (Format::Mooncake, "mooncake"),
    (Format::OpenDc, "opendc"),
    (Format::Csv, "csv"),
    (Format::JsonLines, "jsonl"),
    (Format::Counts, "counts"),
    (Format::Combined, "combined"),
    (Format::Envoy, "envoy"),
    (Format::EnvoyJson, "envoy-json"),
    (Format::Alb, "alb"),
    (Format::Har, "har"),
    (Format::Vegeta, "vegeta"),
    (Format::Hey, "hey"),
    (Format::K6, "k6"),
    (Format::Prometheus, "prometheus"),
    (Format::RequestLog, "request-log"),
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
        NAMES.iter().find(|(format, _)| *format == self).map_or("csv", |(_, name)| name)
    }

    /// Every name, separated by commas.
    pub fn names() -> String {
        NAMES.map(|(_, name)| name).join(", ")
    }

    /// Detects the format of `head`, the first bytes of the unpacked content.
    pub fn detect(file: &str, head: &[u8]) -> Result<Format, TrafficError> {
        if let Some(why) = unreadable(head) {
            return Err(TrafficError::Unsupported { file: file.to_owned(), why: why.to_owned() });
        }
        let line = first_line(head);
        let found = match line.first() {
            Some(b'{' | b'[') => of_json(head, line).or_else(|| of_log(line)),
            _ => of_log(line).or_else(|| of_header(line)).or_else(|| of_bare_numbers(line)),
        };
        found.ok_or_else(|| TrafficError::UnknownFormat {
            file: file.to_owned(),
            found: if line.is_empty() { "an empty file".into() } else { quote(line) },
            known: Format::names(),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        choose(text, &NAMES, |(_, name)| name).map(|(format, _)| format)
    }
}

/// Binary containers that are no trace, with what to do instead.
fn unreadable(head: &[u8]) -> Option<&'static str> {
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
        [b'B', b'Z', b'h', ..] => {
            Some("is packed with bzip2; unpack it, or pack it with gzip or zstd")
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            Some("is packed with xz; unpack it, or pack it with gzip or zstd")
        }
        _ => None,
    }
}

/// The first line that is not blank, without a byte order mark.
pub(crate) fn first_line(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
        .unwrap_or(b"")
}

/// Names of a header line, in lower case, without quotes.
pub(crate) fn header(line: &[u8]) -> Vec<String> {
    let mut fields = Vec::new();
    field::split(line, b',', field::Quoting::Doubled, &mut fields);
    fields
        .iter()
        .map(|span| {
            let end = span.end.min(line.len());
            String::from_utf8_lossy(&line[span.start.min(end)..end]).trim().to_lowercase()
        })
        .collect()
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

fn of_header(line: &[u8]) -> Option<Format> {
    let names = header(line);
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if has("hashfunction") && names.iter().any(|name| name.parse::<u32>().is_ok()) {
        return Some(Format::Azure2019);
    }
    if has("end_timestamp") && has("duration") {
        return Some(Format::Azure2021);
    }
    if has("timestamp") && has("contexttokens") && has("generatedtokens") {
        return Some(Format::AzureLlm);
    }
    if has("start_unix_us") && has("service_us") {
        return Some(Format::Recording);
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
    if has("response-time") && has("offset") {
        return Some(Format::Hey);
    }
    if has("apphash") && names.iter().any(|name| name.starts_with("invocationtime")) {
        return Some(Format::Ibm);
    }
    if names.iter().any(|name| name.starts_with("avg exec time")) && has("invocations") {
        return Some(Format::OpenDc);
    }
    let arrival = column(&names, &ARRIVAL_NAMES)
        .or_else(|| names.iter().position(|name| matches!(name.as_str(), "minute" | "second")));
    if arrival.is_some() && column(&names, &COUNT_NAMES).is_some() {
        return Some(Format::Counts);
    }
    arrival.map(|_| Format::Csv)
}

/// Files without a header: all that can be told is what the numbers look like.
fn of_bare_numbers(line: &[u8]) -> Option<Format> {
    let mut fields = Vec::new();
    field::split(line, b',', field::Quoting::Doubled, &mut fields);
    let text = |column: usize| {
        fields.get(column).map(|span| field::trim(&line[span.start..span.end.min(line.len())]))
    };
    let first = text(0)?;
    let status = |text: &[u8]| text == b"0" || (text.len() == 3 && field::count(text).is_some());
    if fields.len() >= 9 && first.len() >= 16 && field::count(first).is_some() {
        return text(1).is_some_and(status).then_some(Format::Vegeta);
    }
    (fields.len() <= 3 && field::stamp(first, None).is_some()).then_some(Format::Csv)
}

fn of_log(line: &[u8]) -> Option<Format> {
    let end = memchr::memchr(b' ', line)?;
    let token = &line[..end];
    if token.starts_with(b"[") && token.ends_with(b"]") {
        return field::iso(&token[1..token.len() - 1]).map(|_| Format::Envoy);
    }
    let rest = &line[end + 1..];
    if matches!(token, b"http" | b"https" | b"h2" | b"grpcs" | b"ws" | b"wss") {
        let stamp = rest.split(|byte| *byte == b' ').next()?;
        return field::iso(stamp).map(|_| Format::Alb);
    }
    let open = memchr::memchr(b'[', line)?;
    let close = open + memchr::memchr(b']', &line[open..])?;
    field::common_log(&line[open + 1..close]).map(|_| Format::Combined)
}

fn of_json(head: &[u8], line: &[u8]) -> Option<Format> {
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(line) else {
        return of_document(head);
    };
    let has = |key: &str| object.contains_key(key);
    if has("InvocationTimes") {
        Some(Format::Ibm)
    } else if has("hash_ids") || (has("timestamp") && has("input_length")) {
        Some(Format::Mooncake)
    } else if has("metric") && has("type") {
        Some(Format::K6)
    } else if has("httpRequest") {
        Some(Format::RequestLog)
    } else if has("start_time") && has("duration") && (has("response_code") || has("authority")) {
        Some(Format::EnvoyJson)
    } else if object.get("data").unwrap_or(&Value::Null).get("resultType").is_some()
        || has("resultType")
        || (has("status") && has("error"))
    {
        Some(Format::Prometheus)
    } else if object.get("log").is_some_and(|log| log.get("entries").is_some()) {
        Some(Format::Har)
    } else {
        let names: Vec<String> = object.keys().map(|key| key.to_lowercase()).collect();
        column(&names, &ARRIVAL_NAMES).map(|_| Format::JsonLines)
    }
}

/// A document over many lines, or on one line longer than the head: its first keys decide.
fn of_document(head: &[u8]) -> Option<Format> {
    let has = |key: &[u8]| memchr::memmem::find(head, key).is_some();
    if has(b"\"resultType\"") {
        Some(Format::Prometheus)
    } else if has(b"\"log\"") && (has(b"\"entries\"") || has(b"\"creator\"")) {
        Some(Format::Har)
    } else if has(b"\"InvocationTimes\"") {
        Some(Format::Ibm)
    } else {
        None
    }
}
