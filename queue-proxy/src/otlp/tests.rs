use std::time::{Duration, UNIX_EPOCH};

use super::messages::{ExportMetrics, ExportTraces, MetricKind};
use super::*;
use crate::trace::{Kind, Outcome, Parentage, Value};

const PAGE: &str = "# HELP a_seconds Time.
# TYPE a_seconds histogram
a_seconds_bucket{otel_scope_name=\"s\",http_response_status_code=\"200\",le=\"0.5\"} 2
a_seconds_bucket{otel_scope_name=\"s\",http_response_status_code=\"200\",le=\"+Inf\"} 3
a_seconds_sum{otel_scope_name=\"s\",http_response_status_code=\"200\"} 4.5
a_seconds_count{otel_scope_name=\"s\",http_response_status_code=\"200\"} 3

# TYPE b_total counter
b_total{otel_scope_name=\"s\",reason=\"a \\\"b\\\", c\"} 7

# TYPE c gauge
c 1
";

fn resource() -> Resource {
    Resource { attributes: vec![("service.name", "web".to_owned())] }
}

#[test]
fn the_metrics_page_becomes_otlp() {
    let samples = prometheus::parse(PAGE);
    let now = UNIX_EPOCH + Duration::from_secs(9);
    let request = convert::metrics(&samples, &resource(), UNIX_EPOCH, now);
    let decoded = ExportMetrics::decode(&request.encode_to_vec()[..]).unwrap();
    assert_eq!(decoded, request);
    let scopes = &decoded.resource_metrics[0].scope_metrics;
    let scope = scopes.iter().find(|scope| scope.scope.as_ref().unwrap().name == "s").unwrap();
    let metric = |name: &str| scope.metrics.iter().find(|metric| metric.name == name).unwrap();
    assert_eq!(metric("a").unit, "s");
    let Some(MetricKind::Histogram(histogram)) = &metric("a").kind else { panic!("{scope:?}") };
    let point = &histogram.points[0];
    assert_eq!((point.count, point.sum), (3, Some(4.5)));
    assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[2, 1][..], &[0.5][..]));
    assert_eq!(point.attributes[0].key, "http.response.status_code");
    let Some(MetricKind::Sum(sum)) = &metric("b").kind else { panic!("{scope:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.points[0].value, Some(7.0));
    let text = &sum.points[0].attributes[0].value;
    assert!(format!("{text:?}").contains("a \\\"b\\\", c"), "{text:?}");
}

#[test]
fn spans_become_otlp() {
    let span = Span {
        name: "GET".to_owned(),
        kind: Kind::Server,
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        id: 1,
        parent: None,
        parentage: Parentage::Local,
        scope: "s",
        start: UNIX_EPOCH + Duration::from_nanos(5),
        length: Duration::from_nanos(7),
        attributes: vec![("url.path", Value::Text("/".to_owned()))],
        outcome: Outcome::Error,
    };
    let request = convert::traces(&[span], &resource());
    let decoded = ExportTraces::decode(&request.encode_to_vec()[..]).unwrap();
    let span = &decoded.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()), (16, 8, 0));
    assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (5, 12));
    assert_eq!((span.kind, span.status.as_ref().unwrap().code), (2, 2));
}
