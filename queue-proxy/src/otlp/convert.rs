//! From our spans and samples to the messages of OTLP.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::messages::{
    AnyValue, AnyValueKind, ExportMetrics, ExportTraces, Gauge, Histogram, HistogramPoint,
    KeyValue, Metric, MetricKind, NumberPoint, ResourceMessage, ResourceMetrics, ResourceSpans,
    Scope, ScopeMetrics, ScopeSpans, SpanMessage, Status, Sum,
};
use super::prometheus::{Buckets, Labels, NumberKind, Samples};
use crate::trace::{Kind, Outcome, Resource, Span, Value};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: i32 = 2;
/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;

/// A request with these spans.
pub(super) fn traces(spans: &[Span], resource: &Resource) -> ExportTraces {
    let mut scopes: BTreeMap<&str, Vec<SpanMessage>> = BTreeMap::new();
    for span in spans {
        scopes.entry(span.scope).or_default().push(span_message(span));
    }
    let scope_spans = scopes.into_iter().map(|(name, spans)| ScopeSpans {
        scope: Some(Scope { name: name.to_owned(), version: String::new() }),
        spans,
    });
    ExportTraces {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource_message(resource)),
            scope_spans: scope_spans.collect(),
        }],
    }
}

fn span_message(span: &Span) -> SpanMessage {
    SpanMessage {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        },
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start + span.length),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: (span.outcome == Outcome::Error).then_some(Status { code: STATUS_ERROR }),
    }
}

/// A request with these samples, cumulative since `started`.
pub(super) fn metrics(
    samples: &Samples,
    resource: &Resource,
    started: SystemTime,
    now: SystemTime,
) -> ExportMetrics {
    let (start, time) = (nanos(started), nanos(now));
    let mut scopes: BTreeMap<(String, String), BTreeMap<String, Metric>> = BTreeMap::new();
    for number in &samples.numbers {
        let (scope, attributes) = split_scope(&number.labels);
        let point = NumberPoint {
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(number.value),
            attributes,
        };
        let metric = metric(&mut scopes, scope, &number.name);
        match (&mut metric.kind, number.kind) {
            (Some(MetricKind::Gauge(gauge)), _) => gauge.points.push(point),
            (Some(MetricKind::Sum(sum)), _) => sum.points.push(point),
            (kind, NumberKind::Gauge) => {
                *kind = Some(MetricKind::Gauge(Gauge { points: vec![point] }));
            }
            (kind, NumberKind::Counter) => {
                let points = vec![point];
                let sum = Sum { points, temporality: CUMULATIVE, is_monotonic: true };
                *kind = Some(MetricKind::Sum(sum));
            }
        }
    }
    for ((name, labels), buckets) in &samples.histograms {
        let (scope, attributes) = split_scope(labels);
        let point = histogram_point(buckets, attributes, start, time);
        let metric = metric(&mut scopes, scope, name);
        match &mut metric.kind {
            Some(MetricKind::Histogram(histogram)) => histogram.points.push(point),
            kind => {
                let points = vec![point];
                *kind = Some(MetricKind::Histogram(Histogram { points, temporality: CUMULATIVE }));
            }
        }
    }
    let scope_metrics = scopes.into_iter().map(|((name, version), metrics)| ScopeMetrics {
        scope: Some(Scope { name, version }),
        metrics: metrics.into_values().collect(),
    });
    ExportMetrics {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource_message(resource)),
            scope_metrics: scope_metrics.collect(),
        }],
    }
}

fn metric<'a>(
    scopes: &'a mut BTreeMap<(String, String), BTreeMap<String, Metric>>,
    scope: (String, String),
    prometheus_name: &str,
) -> &'a mut Metric {
    let (name, unit) = otel_name(prometheus_name);
    let metrics = scopes.entry(scope).or_default();
    metrics.entry(name.clone()).or_insert(Metric { name, unit: unit.to_owned(), kind: None })
}

/// OpenTelemetry's name and unit for a name of our Prometheus page.
fn otel_name(name: &str) -> (String, &'static str) {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let (name, unit) = match (name.strip_suffix("_seconds"), name.strip_suffix("_bytes")) {
        (Some(name), _) => (name, "s"),
        (_, Some(name)) => (name, "By"),
        _ => (name, ""),
    };
    (name.replace('_', "."), unit)
}

/// The labels that name the scope, apart from the others, which get their dots back.
fn split_scope(labels: &Labels) -> ((String, String), Vec<KeyValue>) {
    let (mut name, mut version) = (String::new(), String::new());
    let mut attributes = Vec::new();
    for (label, value) in labels {
        match label.as_str() {
            "otel_scope_name" => value.clone_into(&mut name),
            "otel_scope_version" => value.clone_into(&mut version),
            "otel_scope_schema_url" => {}
            "http_response_status_code" => {
                let number = value.parse().map_or(Value::Text(value.clone()), Value::Int);
                attributes.push(attribute("http.response.status_code", &number));
            }
            other => {
                let key = other.replace('_', ".");
                attributes.push(attribute(&key, &Value::Text(value.clone())));
            }
        }
    }
    ((name, version), attributes)
}

fn histogram_point(
    buckets: &Buckets,
    attributes: Vec<KeyValue>,
    start: u64,
    time: u64,
) -> HistogramPoint {
    let mut before = 0;
    let mut bucket_counts = Vec::with_capacity(buckets.cumulative.len());
    for (_, cumulative) in &buckets.cumulative {
        bucket_counts.push(cumulative.saturating_sub(before));
        before = *cumulative;
    }
    let bounds = buckets.cumulative.iter().map(|(bound, _)| *bound);
    HistogramPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: buckets.count,
        sum: Some(buckets.sum),
        bucket_counts,
        explicit_bounds: bounds.filter(|bound| bound.is_finite()).collect(),
        attributes,
    }
}

fn resource_message(resource: &Resource) -> ResourceMessage {
    let attributes = resource.attributes.iter();
    let attributes = attributes.map(|(key, value)| attribute(key, &Value::Text(value.clone())));
    ResourceMessage { attributes: attributes.collect() }
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    let kind = match value {
        Value::Text(text) => AnyValueKind::Text(text.clone()),
        Value::Int(number) => AnyValueKind::Int(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { kind: Some(kind) }) }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
