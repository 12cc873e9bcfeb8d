//! Documents as lines: an archive, an answer of a database, a list of spans, one entry a line.
//!
//! What comes out are lines as a log would have them, so that everything behind this sees one kind
//! of file only.

use serde_json::{Map, Value};

use crate::document;
use crate::error::TrafficError;
use crate::format;
use crate::input::Input;

/// How a document is laid out, by the keys it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Har,
    Otlp,
    Jaeger,
    Loki,
    Elasticsearch,
    CloudWatch,
    List,
}

/// Keys, each a path, by which a document's layout is told.
const FAMILIES: [(Family, &str); 10] = [
    (Family::Har, "log.entries"),
    (Family::Otlp, "resourceSpans"),
    (Family::Otlp, "batches"),
    (Family::Otlp, "trace.resourceSpans"),
    (Family::Otlp, "trace.batches"),
    (Family::Jaeger, "spans"),
    (Family::Elasticsearch, "hits.hits"),
    (Family::Elasticsearch, "_source"),
    (Family::CloudWatch, "events"),
    (Family::List, "entries"),
];

/// The value at `path`, whose keys have dots between them: nested, or a key with dots in it.
pub(crate) fn lookup<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(dot, _)| lookup(object.get(&path[..dot])?, &path[dot + 1..]))
}

/// Whether `head` begins one document, not a file of one object a line.
pub(crate) fn is_document(head: &[u8]) -> bool {
    let line = format::first_line(head);
    match serde_json::from_slice::<Value>(line) {
        Ok(Value::Array(_)) => true,
        Ok(value) => family(&value).is_some(),
        // A text log may begin with a bracket too; only JSON ends too early.
        Err(error) => matches!(line.first(), Some(b'{' | b'[')) && error.is_eof(),
    }
}

fn family(value: &Value) -> Option<Family> {
    if lookup(value, "data.resultType").is_some_and(|kind| kind == "streams") {
        return Some(Family::Loki);
    }
    let traces = |value: &Value| value.get(0).is_some_and(|first| first.get("spans").is_some());
    if value.get("data").is_some_and(traces) {
        return Some(Family::Jaeger);
    }
    let at =
        |path: &str| lookup(value, path).is_some_and(|found| found.is_array() || found.is_object());
    FAMILIES.iter().find(|(_, path)| at(path)).map(|(family, _)| *family)
}

/// The entries of the document in `input`, one a line; `None` when it has none of the layouts.
pub(crate) fn lines(input: &Input) -> Result<Option<Vec<u8>>, TrafficError> {
    let mut entries = Entries::default();
    let mut any = false;
    for value in document::values(input)? {
        any |= entries.take(value);
    }
    if !any {
        return Ok(None);
    }
    entries.close();
    let problem = entries.problem.or_else(|| {
        entries.lines.is_empty().then(|| "expected entries, found a document without any".into())
    });
    match problem {
        Some(problem) => {
            let file = input.name().to_owned();
            Err(TrafficError::Document { file, line: 1, column: 1, problem })
        }
        None => Ok(Some(entries.lines)),
    }
}

/// What was found so far.
#[derive(Default)]
struct Entries {
    lines: Vec<u8>,
    spans: Vec<Map<String, Value>>,
    /// Lines of text with the nanosecond of each, to be put in order.
    stamped: Vec<(u128, String)>,
    /// What is wrong with the first entry that is.
    problem: Option<String>,
}

impl Entries {
    /// Takes all entries out of `value`; `false` when it is of no layout with entries.
    fn take(&mut self, value: Value) -> bool {
        if let Value::Array(values) = value {
            // Zipkin's answer is a list of lists.
            for value in values {
                if !self.take(value.clone()) {
                    self.entry(value);
                }
            }
            return true;
        }
        let list = |path: &str| lookup(&value, path).and_then(Value::as_array);
        let Some(family) = family(&value) else { return false };
        match family {
            Family::Har => {
                let entries = list("log.entries");
                let timed = |entry: &Value| entry.get("startedDateTime").is_some();
                let wrong = entries.and_then(|all| all.iter().position(|entry| !timed(entry)));
                self.problem = wrong.map(|at| {
                    format!("entry {} of log.entries: missing field `startedDateTime`", at + 1)
                });
                self.all(entries);
            }
            Family::List => self.all(list("entries")),
            Family::CloudWatch => {
                for event in list("events").into_iter().flatten() {
                    if let Some(message) = event.get("message").and_then(Value::as_str) {
                        self.line(message);
                    }
                }
            }
            Family::Elasticsearch => match list("hits.hits") {
                Some(hits) => self.all(Some(hits)),
                None => self.entry(value),
            },
            Family::Loki => self.loki(&value),
            Family::Jaeger => match list("data") {
                Some(traces) => traces.iter().for_each(|trace| self.jaeger(trace)),
                None => self.jaeger(&value),
            },
            Family::Otlp => {
                let trace = value.get("trace").unwrap_or(&value);
                let resources = trace.get("resourceSpans").or_else(|| trace.get("batches"));
                for resource in resources.and_then(Value::as_array).into_iter().flatten() {
                    self.otlp(resource);
                }
            }
        }
        true
    }

    fn all(&mut self, list: Option<&Vec<Value>>) {
        list.into_iter().flatten().for_each(|entry| self.entry(entry.clone()));
    }

    fn entry(&mut self, mut entry: Value) {
        if let Some(source) = entry.get_mut("_source") {
            entry = source.take();
        }
        match entry {
            Value::Object(object) if object.contains_key("traceId") && is_zipkin(&object) => {
                self.spans.push(object);
            }
            // Spans of Jaeger as its storage keeps them, one by one.
            Value::Object(object) if object.contains_key("traceID") && is_jaeger(&object) => {
                self.jaeger_span(object, None);
            }
            entry => {
                self.lines.extend_from_slice(entry.to_string().as_bytes());
                self.lines.push(b'\n');
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.lines.extend_from_slice(text.trim_end_matches(['\r', '\n']).as_bytes());
        self.lines.push(b'\n');
    }

    /// Streams come one after another, and the newest line first.
    fn loki(&mut self, value: &Value) {
        let streams = lookup(value, "data.result").and_then(Value::as_array);
        for stream in streams.into_iter().flatten() {
            let values = stream.get("values").and_then(Value::as_array);
            for pair in values.into_iter().flatten() {
                let text = |at: usize| pair.get(at).and_then(Value::as_str);
                if let (Some(stamp), Some(line)) = (text(0), text(1)) {
                    self.stamped.push((stamp.parse().unwrap_or(0), line.to_owned()));
                }
            }
        }
    }

    fn jaeger(&mut self, trace: &Value) {
        let spans = trace.get("spans").and_then(Value::as_array);
        for span in spans.into_iter().flatten().filter_map(Value::as_object) {
            self.jaeger_span(span.clone(), trace.get("processes"));
        }
    }

    fn jaeger_span(&mut self, mut span: Map<String, Value>, processes: Option<&Value>) {
        let process = span.get("processID").and_then(Value::as_str).unwrap_or("");
        let process = processes.and_then(|all| all.get(process));
        let process = process.or_else(|| span.get("process")).cloned();
        let name = process.as_ref().and_then(|process| process.get("serviceName")).cloned();
        let kind = tag(span.get("tags"), "span.kind");
        let parents = span.get("references").and_then(Value::as_array).map_or(0, Vec::len);
        let parents = parents + usize::from(span.contains_key("parentSpanID"));
        span.insert("service".into(), name.unwrap_or(Value::Null));
        span.insert("kind".into(), kind.unwrap_or(Value::Null));
        span.insert("root".into(), Value::Bool(parents == 0));
        self.spans.push(span);
    }

    fn otlp(&mut self, resource: &Value) {
        let attributes = lookup(resource, "resource.attributes");
        let name = tag(attributes, "service.name").unwrap_or(Value::Null);
        let scopes = ["scopeSpans", "instrumentationLibrarySpans"];
        let scopes = scopes.iter().filter_map(|key| resource.get(key)?.as_array()).flatten();
        let spans = scopes.filter_map(|scope| scope.get("spans")?.as_array()).flatten();
        for span in spans.filter_map(Value::as_object) {
            let mut span = span.clone();
            let parent = span.get("parentSpanId").and_then(Value::as_str).unwrap_or("");
            let root = Value::Bool(parent.is_empty());
            span.insert("service".into(), name.clone());
            span.insert("root".into(), root);
            self.spans.push(span);
        }
    }

    /// Ends the document: spans know now whether any of them says its kind.
    fn close(&mut self) {
        let served = |span: &Map<String, Value>| span.get("kind").is_some_and(is_served);
        let kinds = self.spans.iter().any(served);
        for mut span in std::mem::take(&mut self.spans) {
            let root = span.get("root").is_some_and(|root| root == true)
                || (is_zipkin(&span) && !span.contains_key("parentId"));
            let request = if kinds { served(&span) } else { root };
            span.insert("served".into(), Value::Bool(request));
            self.line(&Value::Object(span).to_string());
        }
        self.stamped.sort_by_key(|(stamp, _)| *stamp);
        for (_, line) in std::mem::take(&mut self.stamped) {
            self.line(&line);
        }
    }
}

fn is_jaeger(span: &Map<String, Value>) -> bool {
    span.contains_key("spanID") && span.contains_key("startTime") && span.contains_key("duration")
}

fn is_zipkin(span: &Map<String, Value>) -> bool {
    span.contains_key("id") && span.contains_key("timestamp") && span.contains_key("duration")
}

/// Whether a kind, as a name or as OTLP's number, is that of a server.
fn is_served(kind: &Value) -> bool {
    match kind {
        Value::String(kind) => {
            kind.eq_ignore_ascii_case("server") || kind.eq_ignore_ascii_case("span_kind_server")
        }
        kind => kind.as_u64() == Some(2),
    }
}

/// The value of `key` in a list of `{"key": …, "value": …}`, in Jaeger's form or in OTLP's.
fn tag(list: Option<&Value>, key: &str) -> Option<Value> {
    let pair = list?.as_array()?.iter().find(|pair| pair.get("key").is_some_and(|k| k == key))?;
    let value = pair.get("value")?;
    Some(value.get("stringValue").unwrap_or(value).clone())
}
