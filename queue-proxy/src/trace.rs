//! Distributed traces: four spans for each sampled request (three without a limit), by the names
//! that Knative gives them.
//!
//! Trace context that a request brings reaches the app in any case. Without an exporter this module
//! does nothing at all.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Version, header};
use tidegate_knative::headers;
use tidegate_logging::secrets::QueryRule;
use tidegate_relay::forwarded::X_FORWARDED_FOR;
use tidegate_relay::{Exchange, RequestHead};
use tokio::time::Instant;

use crate::nonblocking_writer::NonBlockingWriter;
use crate::otlp::SpanQueue;

mod context;
pub mod span;
mod stdout;

use context::{Context, Numbers};
use span::{Kind, Outcome, Parentage, Resource, Span, Value};

pub use context::{Sampler, trace_id};

/// The scope of the spans around HTTP exchanges.
const SCOPE_HTTP: &str = "go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp";
/// The scope of the sidecar's own spans.
const SCOPE_QUEUE: &str = "knative.dev/serving/pkg/queue";
/// The longest attribute value that a client may choose.
const LONGEST_VALUE: usize = 256;
/// The longest method that names a span; the longest registered one has 17 letters.
const LONGEST_METHOD: usize = 32;

/// Where spans go.
#[derive(Debug, Clone)]
pub enum Exporter {
    /// JSON lines on standard output, with the attributes of this process.
    Stdout(NonBlockingWriter, Resource),
    /// A collector.
    Otlp(SpanQueue),
}

/// Begins and ends traces. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    shared: Arc<TracerState>,
}

struct TracerState {
    sampler: Sampler,
    exporter: Exporter,
    queue: Queue,
    app_port: u16,
    query: QueryRule,
    numbers: Numbers,
}

/// Whether requests may have to wait, which is a span of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// There is a limit, and a queue before it.
    Present,
    /// There is no limit: every request enters.
    Absent,
}

/// A trace that is being recorded.
#[derive(Debug)]
pub struct Trace {
    trace: u128,
    caller: Option<u64>,
    server: u64,
    proxy: u64,
    wait: Option<u64>,
    client: u64,
    start: SystemTime,
    method: String,
    attributes: Vec<(&'static str, Value)>,
    /// As far as it may be written down.
    target: String,
    version: Version,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("exporter", &self.shared.exporter).finish_non_exhaustive()
    }
}

impl Tracer {
    /// A tracer that hands spans to `exporter`.
    /// Targets are written down as `query` allows.
    pub fn new(
        sampler: Sampler,
        exporter: Exporter,
        queue: Queue,
        app_port: u16,
        query: QueryRule,
    ) -> Self {
        let numbers = Numbers::new();
        Self {
            shared: Arc::new(TracerState { sampler, exporter, queue, app_port, query, numbers }),
        }
    }

    /// Spans that were dropped. Those for standard output are lines of the log, and counted there.
    pub fn lost(&self) -> u64 {
        match &self.shared.exporter {
            Exporter::Stdout(..) => 0,
            Exporter::Otlp(queue) => queue.lost(),
        }
    }

    /// Begins a trace and hands its context on to the app; `None` when this one is not sampled.
    pub fn begin(&self, exchange: &mut Exchange) -> Option<Trace> {
        let shared = &self.shared;
        let caller = Context::extract(&exchange.head().headers);
        let trace = caller.map_or_else(|| shared.numbers.trace(), |caller| caller.trace);
        if !shared.sampler.samples(caller.as_ref(), trace) {
            return None;
        }
        let peer = exchange.peer();
        let head = exchange.head_mut();
        let mut attributes = server_attributes(head, &shared.query);
        if let Some(peer) = peer {
            attributes.push(text("network.peer.address", &peer.ip().to_string()));
            attributes.push(("network.peer.port", Value::Int(peer.port().into())));
        }
        let number = || shared.numbers.next();
        let begun = Trace {
            trace,
            caller: caller.map(|caller| caller.span),
            server: number(),
            proxy: number(),
            wait: (shared.queue == Queue::Present).then(number),
            client: number(),
            start: SystemTime::now(),
            method: cut(head.method.as_str(), LONGEST_METHOD).to_owned(),
            attributes,
            target: shown(&head.target, &shared.query),
            version: head.version,
        };
        let context = Context { trace, span: begun.client, sampled: true };
        context.inject(&mut head.headers);
        Some(begun)
    }

    /// Ends a trace.
    pub fn finish(&self, trace: &Trace, exchange: &Exchange, entered: Option<Instant>) {
        let length = exchange.started().elapsed();
        let report = exchange.report();
        let status = report.status.map_or(0, |status| status.as_u16());
        let outcome = if status >= 500 { Outcome::Error } else { Outcome::Unset };
        let mut server = trace.attributes.clone();
        server.extend([
            ("http.request.body.size", Value::Int(to_int(report.request_bytes))),
            ("http.response.body.size", Value::Int(to_int(report.response_bytes))),
            ("http.response.status_code", Value::Int(status.into())),
        ]);
        let waited = entered.map_or(length, |entered| entered - exchange.started());
        if entered.is_some() {
            let attributes = self.client_attributes(trace, status);
            let parent = Some(trace.wait.unwrap_or(trace.proxy));
            let name = format!("HTTP {}", trace.method);
            let mut client = trace.span(name, Kind::Client, trace.client, parent, SCOPE_HTTP);
            client.start = trace.start + waited;
            client.length = length.saturating_sub(waited);
            self.export(Span { attributes, outcome, ..client });
        }
        if let Some(wait) = trace.wait {
            let name = "kn.queueproxy.wait".to_owned();
            let span = trace.span(name, Kind::Internal, wait, Some(trace.proxy), SCOPE_QUEUE);
            self.export(Span { length: waited, ..span });
        }
        let (name, parent) = ("kn.queueproxy.proxy".to_owned(), Some(trace.server));
        let proxy = trace.span(name, Kind::Internal, trace.proxy, parent, SCOPE_QUEUE);
        self.export(Span { length, ..proxy });
        let name = trace.method.clone();
        let root = trace.span(name, Kind::Server, trace.server, trace.caller, SCOPE_HTTP);
        let parentage = match trace.caller {
            Some(_) => Parentage::Remote,
            None => Parentage::Local,
        };
        self.export(Span { length, parentage, attributes: server, outcome, ..root });
    }

    fn client_attributes(&self, trace: &Trace, status: u16) -> Vec<(&'static str, Value)> {
        let port = self.shared.app_port;
        let version = if trace.version == Version::HTTP_2 { "2" } else { "1.1" };
        vec![
            text("http.request.method", &trace.method),
            text("server.address", "127.0.0.1"),
            ("server.port", Value::Int(port.into())),
            text("url.full", &format!("http://127.0.0.1:{port}{}", trace.target)),
            text("network.protocol.version", version),
            ("http.response.status_code", Value::Int(status.into())),
        ]
    }

    fn export(&self, span: Span) {
        match &self.shared.exporter {
            Exporter::Stdout(writer, resource) => {
                writer.write(stdout::line(&span, resource).as_bytes());
            }
            Exporter::Otlp(queue) => queue.push(span),
        }
    }
}

impl Trace {
    fn span(
        &self,
        name: String,
        kind: Kind,
        id: u64,
        parent: Option<u64>,
        scope: &'static str,
    ) -> Span {
        Span {
            name,
            kind,
            trace: self.trace,
            id,
            parent,
            parentage: Parentage::Local,
            scope,
            start: self.start,
            length: Duration::ZERO,
            attributes: Vec::new(),
            outcome: Outcome::Unset,
        }
    }
}

fn server_attributes(head: &RequestHead, query: &QueryRule) -> Vec<(&'static str, Value)> {
    let host = head.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("");
    let path = shown(head.path(), query);
    let version = match head.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let mut attributes = vec![
        text("server.address", host),
        text("http.request.method", head.method.as_str()),
        text("url.scheme", head.scheme.as_str()),
        text("url.path", &path),
        text("network.protocol.version", version),
        text("kn.route.tag", headers::route_tag(&head.headers)),
    ];
    if let Some(agent) = first(&head.headers, &header::USER_AGENT) {
        attributes.push(text("user_agent.original", agent));
    }
    if let Some(nodes) = first(&head.headers, &X_FORWARDED_FOR) {
        let client = nodes.split(',').next().unwrap_or("").trim();
        attributes.push(text("client.address", client));
    }
    attributes
}

fn first<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

/// A target, cut to a bound and as far as it may be written down.
fn shown(target: &[u8], query: &QueryRule) -> String {
    let target = String::from_utf8_lossy(&target[..target.len().min(LONGEST_VALUE)]);
    query.url(&target).into_owned()
}

fn cut(value: &str, longest: usize) -> &str {
    &value[..value.floor_char_boundary(longest)]
}

/// A text attribute, cut to a bound.
fn text(key: &'static str, value: &str) -> (&'static str, Value) {
    (key, Value::Text(cut(value, LONGEST_VALUE).to_owned()))
}

fn to_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
