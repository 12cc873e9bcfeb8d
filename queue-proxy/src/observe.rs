//! What is kept of one request while it is in flight, for metrics, logs, traces and the recording.
//!
//! With none of them enabled this costs a few loads: nothing is copied, no clock is read twice.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use tidegate_knative::{headers, probe};
use tidegate_recording::CLIENT_CLOSED_REQUEST;
use tidegate_relay::{BodyLength, Cause, Exchange, RequestHead};
use tokio::time::Instant;

use crate::metrics::{ExchangeOutcome, Metrics, Observation};
use crate::record::{Recorder, Row};
use crate::request_log::{self, RequestFacts, RequestLogger, ResponseFacts};
use crate::statistics::Outcomes;
use crate::trace::{Trace, Tracer};

/// Everything that observes requests.
#[derive(Debug, Clone)]
pub struct Observers {
    /// Counts for the controller.
    pub outcomes: Outcomes,
    /// Prometheus.
    pub metrics: Option<Metrics>,
    /// The request log.
    pub log: Option<RequestLogger>,
    /// The recorded trace.
    pub recorder: Option<Recorder>,
    /// Distributed traces.
    pub tracer: Option<Tracer>,
}

/// One request in flight.
#[derive(Debug)]
pub struct RequestObservation {
    arrived: SystemTime,
    /// Facts for the log and for metrics; only with one of them.
    facts: Option<Box<Facts>>,
    recorded: bool,
    trace: Option<Trace>,
}

#[derive(Debug)]
struct Facts {
    request: RequestFacts,
    scheme: &'static str,
    tag: String,
    logged: bool,
    measured: bool,
}

/// When a request entered the gate and left the app, and how that ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTimestamps {
    /// When it got its slot.
    pub entered: Option<Instant>,
    /// When the app was done with it, where an observer needs that.
    pub left: Option<Instant>,
    /// Whether the response was cut short.
    pub outcome: ExchangeOutcome,
    /// Why we responded ourselves; `None` when the app did, or the client had gone.
    pub cause: Option<Cause>,
}

impl RequestTimestamps {
    /// How long the app worked on it; `None` when it never reached the app.
    pub fn service(&self) -> Option<Duration> {
        let left = self.left.unwrap_or_else(Instant::now);
        self.entered.map(|entered| left - entered)
    }
}

impl Observers {
    /// Whether single requests are observed.
    pub fn are_enabled(&self) -> bool {
        self.metrics.is_some()
            || self.log.is_some()
            || self.recorder.is_some()
            || self.tracer.is_some()
    }

    /// Begins to observe; `None` when nothing observes this request. A sampled request's trace
    /// context is injected into its head.
    pub fn begin(&self, exchange: &mut Exchange) -> Option<RequestObservation> {
        if !self.are_enabled() {
            return None;
        }
        let head = exchange.head();
        let marked = probe::is_probe(&head.headers);
        let logged = self.log.as_ref().is_some_and(|log| !marked || log.logs_probes());
        let measured = self.metrics.is_some() && !marked;
        let detail = if logged { Detail::Whole } else { Detail::Labels };
        let facts = (logged || measured).then(|| {
            Box::new(Facts {
                request: facts(head, exchange.peer(), detail),
                scheme: head.scheme.as_str(),
                tag: headers::route_tag(&head.headers).to_owned(),
                logged,
                measured,
            })
        });
        let recorded = self.recorder.is_some() && !marked;
        let tracer = self.tracer.as_ref().filter(|_| !marked);
        let trace = tracer.and_then(|tracer| tracer.begin(exchange));
        if facts.is_none() && trace.is_none() && !recorded {
            return None;
        }
        Some(RequestObservation { arrived: SystemTime::now(), facts, recorded, trace })
    }

    /// Publishes how it ended.
    pub fn finish(
        &self,
        observation: &RequestObservation,
        exchange: &Exchange,
        timestamps: RequestTimestamps,
    ) {
        let report = exchange.report();
        let now = Instant::now();
        let latency = now - exchange.started();
        let wait = timestamps.entered.map_or(latency, |entered| entered - exchange.started());
        let service = timestamps.service();
        let status = report.status.map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
        let row = Row {
            arrived: exchange.started(),
            wait,
            service,
            // A tunnel's status is 101; what counts requests by class expects a success.
            status: if status == 101 { 200 } else { status },
            request_bytes: report.request_bytes,
            response_bytes: report.response_bytes,
        };
        if let (true, Some(recorder)) = (observation.recorded, &self.recorder) {
            recorder.write(&row);
        }
        if let (Some(tracer), Some(trace)) = (&self.tracer, &observation.trace) {
            tracer.finish(trace, exchange, timestamps.entered);
        }
        if let Some(facts) = &observation.facts {
            let start = observation.arrived;
            self.publish(facts, &row, PublishedTimes { start, latency }, timestamps);
        }
    }

    fn publish(
        &self,
        facts: &Facts,
        row: &Row,
        times: PublishedTimes,
        timestamps: RequestTimestamps,
    ) {
        let PublishedTimes { start, latency } = times;
        if let (true, Some(metrics)) = (facts.measured, &self.metrics) {
            metrics.finished(&Observation {
                method: &facts.request.method,
                version: facts.request.version,
                host: &facts.request.host,
                scheme: facts.scheme,
                tag: &facts.tag,
                status: row.status,
                request_bytes: row.request_bytes,
                response_bytes: row.response_bytes,
                latency,
                wait: row.wait,
                service: row.service,
                outcome: timestamps.outcome,
            });
        }
        if let (true, Some(log)) = (facts.logged, &self.log) {
            log.write(
                &facts.request,
                &ResponseFacts {
                    status: row.status,
                    body_bytes: row.response_bytes,
                    request_bytes: row.request_bytes,
                    start,
                    latency,
                    wait: row.wait,
                    service: row.service.unwrap_or_default(),
                    cause: timestamps.cause,
                },
            );
        }
    }
}

/// When a request came by the system's clock, and how long it took.
#[derive(Debug, Clone, Copy)]
struct PublishedTimes {
    start: SystemTime,
    latency: Duration,
}

/// How much of the head is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    Labels,
    Whole,
}

/// Copies what is needed of the head before it is rewritten; headers only for the log.
fn facts(head: &RequestHead, peer: Option<SocketAddr>, detail: Detail) -> RequestFacts {
    let logged = detail == Detail::Whole;
    let host = head.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("");
    let target = if logged { &head.target[..] } else { b"" };
    let target = &target[..target.len().min(request_log::LONGEST_VALUE)];
    RequestFacts {
        method: head.method.clone(),
        target: String::from_utf8_lossy(target).into_owned(),
        version: head.version,
        host: host.to_owned(),
        headers: if logged { head.headers.clone() } else { HeaderMap::new() },
        remote: peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
        content_length: match head.body {
            BodyLength::Empty => Some(0),
            BodyLength::Known(length) => Some(length),
            BodyLength::Unknown => None,
        },
    }
}
