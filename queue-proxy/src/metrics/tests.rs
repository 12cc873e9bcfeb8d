use tidegate_admission::Limit;

use super::*;

fn metrics(depth: DepthGauge) -> Metrics {
    let service = Service { name: "web".to_owned(), instance: "pod-1".to_owned() };
    Metrics::new(&Identity::default(), &service, 8080, depth)
}

fn levels(executing: u32, waiting: u32) -> Levels {
    let limit = Limit::from_wire(1);
    Levels {
        executing,
        waiting,
        limit,
        abandoned: 0,
        abandoned_total: 0,
        doors: 0,
        promised: 0,
        honoured_total: 0,
        void_total: 0,
    }
}

fn observation(method: &Method) -> Observation<'_> {
    Observation {
        method,
        version: Version::HTTP_11,
        host: "web.example:8012",
        scheme: "http",
        tag: "kn:disabled",
        status: 200,
        request_bytes: 5,
        response_bytes: 64,
        latency: Duration::from_millis(30),
        wait: Duration::from_millis(10),
        service: Some(Duration::from_millis(20)),
        outcome: ExchangeOutcome::Whole,
    }
}

#[test]
fn series_carry_the_names_labels_and_buckets_that_dashboards_use() {
    let metrics = metrics(DepthGauge::Shown);
    metrics.finished(&observation(&Method::GET));
    let page = metrics.render(levels(0, 0));
    for expected in [
        "# TYPE kn_serving_invocation_duration_seconds histogram",
        "kn_serving_invocation_duration_seconds_count{otel_scope_name=\
         \"knative.dev/serving/pkg/queue\",otel_scope_schema_url=\"\",otel_scope_version=\"\",\
         http_response_status_code=\"200\"} 1",
        "http_response_status_code=\"200\",le=\"0.05\"} 1",
        "http_response_status_code=\"200\",le=\"0.025\"} 0",
        "le=\"+Inf\"} 1",
        "kn_serving_queue_depth{",
        "http_request_method=\"GET\"",
        "kn_route_tag=\"kn:disabled\"",
        "network_protocol_version=\"1.1\"",
        "server_address=\"web.example\",server_port=\"8012\",url_scheme=\"http\"",
        "server_address=\"127.0.0.1\",server_port=\"8080\",url_scheme=\"http\"",
        "http_server_response_body_size_bytes_bucket",
        "http_client_request_duration_seconds_bucket",
        "target_info{container_name=\"queue-proxy\"",
        "tidegate_queue_wait_seconds_count",
        "process_resident_memory_bytes",
    ] {
        assert!(page.contains(expected), "{expected}\nis missing in\n{page}");
    }
}

#[test]
fn truncated_responses_count_as_500_and_not_as_exchanges() {
    let metrics = metrics(DepthGauge::Absent);
    metrics
        .finished(&Observation { outcome: ExchangeOutcome::Aborted, ..observation(&Method::GET) });
    let page = metrics.render(levels(0, 0));
    assert!(page.contains("http_response_status_code=\"500\"} 1"), "{page}");
    assert!(!page.contains("http_server_request_duration_seconds_count"), "{page}");
    assert!(!page.contains("kn_serving_queue_depth{"), "{page}");
}

/// Knative writes the depth when a request is admitted only, so it never falls back to zero.
#[test]
fn the_depth_returns_to_zero() {
    let metrics = metrics(DepthGauge::Shown);
    metrics.admitted(levels(1, 2));
    assert!(metrics.render(levels(1, 2)).contains("} 3\n"));
    let page = metrics.render(levels(0, 0));
    let depth = page.lines().find(|line| line.starts_with("kn_serving_queue_depth{")).unwrap();
    assert!(depth.ends_with("} 0"), "{depth}");
}

#[test]
fn refusals_are_counted_by_reason() {
    let metrics = metrics(DepthGauge::Shown);
    metrics.refused(Refusal::QueueFull);
    metrics.refused(Refusal::QueueFull);
    metrics.refused(Refusal::WaitedTooLong);
    metrics.connect_failed();
    let page = metrics.render(levels(0, 0));
    assert!(page.contains("reason=\"queue_full\"} 2"), "{page}");
    assert!(page.contains("reason=\"waited_too_long\"} 1"), "{page}");
}

/// 1,200 made-up hosts and tags once made a page of 13 MB. What follows is the worst that one
/// client and one app can do together: long hosts that are escaped, every method, every status.
#[test]
fn the_page_has_a_bound_in_bytes() {
    let metrics = metrics(DepthGauge::Shown);
    let methods = ["GET", "POST", "PUT", "DELETE", "BREW"];
    let tag = "\\".repeat(500);
    for host in 0..40 {
        let host = format!("{host}{}", "\"".repeat(500));
        for (status, method) in (100..1000).step_by(5).zip(methods.iter().cycle()) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let observation = Observation {
                host: &host,
                tag: &tag,
                status,
                version: if status % 2 == 0 { Version::HTTP_2 } else { Version::HTTP_11 },
                ..observation(&method)
            };
            metrics.finished(&observation);
        }
    }
    let page = metrics.render(levels(0, 0));
    assert!(page.len() <= PAGE_BYTES, "{} of {PAGE_BYTES}", page.len());
    println!("the worst page has {} bytes", page.len());
    let count = |line: &&str| line.starts_with("http_server_request_duration_seconds_count");
    let total: u64 = page
        .lines()
        .filter(count)
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, 40 * 180, "nothing is lost but labels");
}
