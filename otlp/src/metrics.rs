//! From gathered metrics to a message of OTLP.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tidegate_proto::otlp::v1::metric::Data;
use tidegate_proto::otlp::v1::number_data_point::Value as PointValue;
use tidegate_proto::otlp::v1::{
    AggregationTemporality, ExportMetricsServiceRequest, Gauge, Histogram, HistogramDataPoint,
    InstrumentationScope, KeyValue, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use tidegate_telemetry::{self as telemetry, Buckets, Family, Label, Series};

use crate::attribute::{Resource, Value, attribute, nanos};

/// All values count from the start of the process.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// What was gathered at a time.
pub type Gathered<'a> = (&'a [Family], SystemTime);

/// A request with what was gathered, from the oldest on, cumulative since `started`.
pub fn metrics<'a>(
    gathered: impl IntoIterator<Item = Gathered<'a>>,
    resource: &Resource,
    started: SystemTime,
) -> ExportMetricsServiceRequest {
    let mut scopes: BTreeMap<(&str, &str), BTreeMap<&str, Metric>> = BTreeMap::new();
    for (families, at) in gathered {
        let span = (nanos(started), nanos(at));
        for family in families {
            // All series of a metric have one scope.
            let labels = family.series.first().map_or(&[][..], |series| &series.labels[..]);
            let metrics = scopes.entry(scope(labels)).or_default();
            append(metrics.entry(&family.name).or_insert_with(|| empty(family)), family, span);
        }
    }
    let scope_metrics = scopes.into_iter().map(|((name, version), metrics)| ScopeMetrics {
        scope: Some(InstrumentationScope { name: name.to_owned(), version: version.to_owned() }),
        metrics: metrics.into_values().collect(),
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource.message()),
            scope_metrics: scope_metrics.collect(),
        }],
    }
}

/// A metric without points.
fn empty(family: &Family) -> Metric {
    let (name, unit) = otel_name(&family.name);
    let data = match family.kind {
        telemetry::Kind::Gauge => Data::Gauge(Gauge::default()),
        telemetry::Kind::Counter => Data::Sum(Sum {
            data_points: Vec::new(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        telemetry::Kind::Histogram => Data::Histogram(Histogram {
            data_points: Vec::new(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    let description = family.help.to_string();
    Metric { name, description, unit: unit.to_owned(), data: Some(data) }
}

fn append(metric: &mut Metric, family: &Family, span: (u64, u64)) {
    let series = family.series.iter();
    let numbers = series.clone().filter_map(|series| number_point(series, span));
    match &mut metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.extend(numbers),
        Some(Data::Sum(sum)) => sum.data_points.extend(numbers),
        Some(Data::Histogram(histogram)) => {
            histogram.data_points.extend(series.filter_map(|one| histogram_point(one, span)));
        }
        None => {}
    }
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

#[cfg(test)]
mod tests;
