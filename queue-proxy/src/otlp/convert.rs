//! From our spans and samples to the messages of OTLP.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::otlp::v1::any_value::Value as AnyValueKind;
use tidegate_proto::otlp::v1::metric::Data;
use tidegate_proto::otlp::v1::number_data_point::Value as PointValue;
use tidegate_proto::otlp::v1::span::SpanKind;
use tidegate_proto::otlp::v1::status::StatusCode;
use tidegate_proto::otlp::v1::{
    AggregationTemporality, AnyValue, ExportMetricsServiceRequest, ExportTraceServiceRequest,
    Gauge, Histogram, HistogramDataPoint, InstrumentationScope, KeyValue, Metric, NumberDataPoint,
    Resource as ResourceMessage, ResourceMetrics, ResourceSpans, ScopeMetrics, ScopeSpans,
    Span as SpanMessage, Status, Sum,
};
use tidegate_telemetry::{self as telemetry, Buckets, Family, Label, Series};

use crate::trace::span::{Kind, Outcome, Resource, Span, Value};

/// All values count from the start of the process.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// A request with these spans.
pub(super) fn traces(spans: &[Span], resource: &Resource) -> ExportTraceServiceRequest {
    let mut scopes: BTreeMap<&str, Vec<SpanMessage>> = BTreeMap::new();
    for span in spans {
        scopes.entry(span.scope).or_default().push(span_message(span));
    }
    let scope_spans = scopes.into_iter().map(|(name, spans)| ScopeSpans {
        scope: Some(InstrumentationScope { name: name.to_owned(), version: String::new() }),
        spans,
    });
    ExportTraceServiceRequest {
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
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start + span.length),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: (span.outcome == Outcome::Error).then(|| Status { code: StatusCode::Error.into() }),
    }
}

/// A request with what was gathered, cumulative since `started`.
pub(super) fn metrics(
    families: &[Family],
    resource: &Resource,
    started: SystemTime,
    now: SystemTime,
) -> ExportMetricsServiceRequest {
    let span = (nanos(started), nanos(now));
    let mut scopes: BTreeMap<(&str, &str), Vec<Metric>> = BTreeMap::new();
    for family in families {
        // All series of a metric have one scope.
        let labels = family.series.first().map_or(&[][..], |series| &series.labels[..]);
        scopes.entry(scope(labels)).or_default().push(metric(family, span));
    }
    let scope_metrics = scopes.into_iter().map(|((name, version), metrics)| ScopeMetrics {
        scope: Some(InstrumentationScope { name: name.to_owned(), version: version.to_owned() }),
        metrics,
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource_message(resource)),
            scope_metrics: scope_metrics.collect(),
        }],
    }
}

fn metric(family: &Family, span: (u64, u64)) -> Metric {
    let (name, unit) = otel_name(&family.name);
    let numbers = || family.series.iter().filter_map(|series| number_point(series, span)).collect();
    let data = match family.kind {
        telemetry::Kind::Gauge => Data::Gauge(Gauge { data_points: numbers() }),
        telemetry::Kind::Counter => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        telemetry::Kind::Histogram => Data::Histogram(Histogram {
            data_points: family
                .series
                .iter()
                .filter_map(|series| histogram_point(series, span))
                .collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    let description = family.help.to_string();
    Metric { name, description, unit: unit.to_owned(), data: Some(data) }
}

fn number_point(series: &Series, (start, time): (u64, u64)) -> Option<NumberDataPoint> {
    let telemetry::Value::Number(value) = series.value else { return None };
    Some(NumberDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(PointValue::AsDouble(value)),
        attributes: attributes(&series.labels),
    })
}

fn histogram_point(series: &Series, (start, time): (u64, u64)) -> Option<HistogramDataPoint> {
    let telemetry::Value::Buckets(buckets) = &series.value else { return None };
    let Buckets { bounds, cumulative, sum, count } = buckets;
    let before = std::iter::once(&0).chain(cumulative);
    let bucket_counts = cumulative.iter().zip(before).map(|(up_to, before)| up_to - before);
    Some(HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: *count,
        sum: Some(*sum),
        bucket_counts: bucket_counts.collect(),
        explicit_bounds: bounds.to_vec(),
        attributes: attributes(&series.labels),
    })
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

/// Name and version of the scope that labels name.
fn scope(labels: &[Label]) -> (&str, &str) {
    let value = |key| labels.iter().find(|label| label.key() == key).map_or("", Label::value);
    (value("otel_scope_name"), value("otel_scope_version"))
}

/// The labels that do not name the scope, with OpenTelemetry's dots.
fn attributes(labels: &[Label]) -> Vec<KeyValue> {
    let others = labels.iter().filter(|label| !label.key().starts_with("otel_scope_"));
    let attributes = others.map(|label| {
        let text = || Value::Text(label.value().to_owned());
        match label.key() {
            "http_response_status_code" => {
                let number = label.value().parse().map_or_else(|_| text(), Value::Int);
                attribute("http.response.status_code", &number)
            }
            key => attribute(&key.replace('_', "."), &text()),
        }
    });
    attributes.collect()
}

fn resource_message(resource: &Resource) -> ResourceMessage {
    let attributes = resource.attributes.iter();
    let attributes = attributes.map(|(key, value)| attribute(key, &Value::Text(value.clone())));
    ResourceMessage { attributes: attributes.collect() }
}

fn attribute(key: &str, value: &Value) -> KeyValue {
    let kind = match value {
        Value::Text(text) => AnyValueKind::StringValue(text.clone()),
        Value::Int(number) => AnyValueKind::IntValue(*number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(kind) }) }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
