use std::time::{Duration, UNIX_EPOCH};

use tidegate_proto::Message as _;
use tidegate_telemetry::{Metric, Registry, Scope};

use super::*;

fn resource() -> Resource {
    Resource { attributes: vec![("service.name".into(), "web".to_owned())] }
}

/// What a registry with one metric of each kind gathers.
fn families() -> Vec<Family> {
    let registry = Registry::new();
    let scope = Some(Scope { name: "s", version: "1" });
    let time = Metric::histogram("a_seconds", "Time.").scoped(scope);
    let status = Label::new("http_response_status_code", "200");
    let time = time.register_histogram(&registry, vec![status]);
    [0.005, 0.005, 60.0].into_iter().for_each(|seconds| time.record(seconds));
    let count = Metric::counter("b_total", "").labelled(&["reason"]).scoped(scope);
    count.register_counter(&registry, &["a \"b\", c"]).increment(7);
    Metric::gauge("c", "").scoped(None).register_gauge(&registry, &[]).set(1.5);
    registry.gather()
}

#[test]
fn gathered_metrics_convert_to_otlp() {
    let now = UNIX_EPOCH + Duration::from_secs(9);
    let request = metrics([(&families()[..], now)], &resource(), UNIX_EPOCH);
    let decoded = ExportMetricsServiceRequest::decode(&request.encode_to_vec()[..]).unwrap();
    assert_eq!(decoded, request);
    let scopes = &decoded.resource_metrics[0].scope_metrics;
    let scope = |name: &str| {
        let mut named = scopes.iter().filter(|one| one.scope.as_ref().unwrap().name == name);
        named.next().unwrap()
    };
    assert_eq!(scope("s").scope.as_ref().unwrap().version, "1");
    let metric = |scope_name: &str, name: &str| {
        let mut named = scope(scope_name).metrics.iter().filter(|metric| metric.name == name);
        named.next().unwrap()
    };
    assert_eq!((&metric("s", "a").unit[..], &metric("s", "a").description[..]), ("s", "Time."));
    let Some(Data::Histogram(histogram)) = &metric("s", "a").data else { panic!("{scopes:?}") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum), (3, Some(60.01)));
    assert_eq!((point.bucket_counts[0], point.bucket_counts[14]), (2, 1));
    assert_eq!((point.bucket_counts.len(), point.explicit_bounds.len()), (15, 14));
    assert_eq!(point.attributes[0].key, "http.response.status_code");
    let Some(Data::Sum(sum)) = &metric("s", "b").data else { panic!("{scopes:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.data_points[0].value, Some(PointValue::AsDouble(7.0)));
    let text = &sum.data_points[0].attributes[0].value;
    assert!(format!("{text:?}").contains("a \\\"b\\\", c"), "{text:?}");
    let Some(Data::Gauge(gauge)) = &metric("", "c").data else { panic!("{scopes:?}") };
    assert_eq!(gauge.data_points[0].value, Some(PointValue::AsDouble(1.5)));
    // The process metrics are pushed as well.
    assert_eq!(metric("", "process.resident.memory").unit, "By");
}

#[test]
fn ticks_join_the_metrics_of_those_before_them() {
    let ticks = [families(), families(), families()];
    let at = |second| UNIX_EPOCH + Duration::from_secs(second);
    let gathered = ticks.iter().zip(1..).map(|(families, second)| (&families[..], at(second)));
    let request = metrics(gathered, &resource(), UNIX_EPOCH);
    let scopes = &request.resource_metrics[0].scope_metrics;
    let metric = scopes.iter().flat_map(|scope| &scope.metrics).find(|metric| metric.name == "b");
    let Some(Data::Sum(sum)) = &metric.unwrap().data else { panic!("{scopes:?}") };
    let times: Vec<u64> = sum.data_points.iter().map(|point| point.time_unix_nano).collect();
    assert_eq!(times, [1_000_000_000, 2_000_000_000, 3_000_000_000]);
}
