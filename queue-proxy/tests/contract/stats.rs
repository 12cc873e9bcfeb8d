//! Statistics for autoscalers, metrics for Prometheus.

use prost::Message;
use tidegate_proto::knative::Stat;

use crate::app::{App, Gate, eventually};
use crate::client::{Client, Response, get, root};
use crate::sidecar::Sidecar;

const PROMETHEUS: (&str, &str) =
    ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);

fn scrape(sidecar: &Sidecar) -> Stat {
    let response = get(sidecar.ports.stats, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.header("content-type"), Some("application/protobuf"));
    Stat::decode(&response.body[..]).unwrap()
}

/// Scrapes until a second's statistics satisfy `condition`.
fn scraped(sidecar: &Sidecar, what: &str, condition: impl Fn(&Stat) -> bool) {
    eventually(what, || condition(&scrape(sidecar)));
}

fn page(sidecar: &Sidecar) -> Response {
    get(sidecar.ports.metrics, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Requests per second of the app's traffic, added up over seconds: counts are per window, and a
/// slow machine may spread requests over two of them.
fn total_requests(sidecar: &Sidecar, expected: f64) {
    let mut uptime = 0.0;
    let mut total = 0.0;
    let total = std::cell::RefCell::new((&mut uptime, &mut total));
    eventually("the count", || {
        let stat = scrape(sidecar);
        let mut seen = total.borrow_mut();
        if stat.process_uptime > *seen.0 {
            *seen.0 = stat.process_uptime;
            *seen.1 += stat.request_count;
        }
        (*seen.1 - expected).abs() < f64::EPSILON
    });
}

#[test]
fn a_fresh_sidecar_has_only_a_name() {
    let sidecar = Sidecar::start(1, &[]);
    let response = get(sidecar.ports.stats, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    // The first second may be over on a slow machine; then there is an uptime too.
    assert!(matches!(response.body.len(), 9 | 18), "{:?}", response.body);
    assert_eq!(&response.body[..9], b"\x0a\x07pod-abc");
    scraped(&sidecar, "an uptime", |stat| stat.process_uptime > 0.0);
    let stat = scrape(&sidecar);
    assert_eq!((stat.request_count, stat.average_concurrent_requests), (0.0, 0.0));
    assert_eq!(stat.encoded_len(), 18);
}

#[test]
fn the_statistics_are_protobuf_whatever_is_accepted() {
    let sidecar = Sidecar::start(1, &[]);
    let port = sidecar.ports.stats;
    for request in [
        "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: text/html\r\n\r\n",
    ] {
        let response = get(port, request);
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("application/protobuf"));
        assert!(response.body.len() <= 336);
    }
    for port in [port, sidecar.ports.admin] {
        let response = get(port, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((response.status, response.text()), (404, "404 page not found\n"));
    }
}

#[test]
fn waiting_requests_count_as_concurrency() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = Sidecar::start(app.port, &[("CONTAINER_CONCURRENCY", "1")]);
    let mut clients: Vec<Client> = (0..3)
        .map(|number| {
            let mut client = Client::connect(sidecar.ports.main);
            let proxied = if number == 0 { "K-Proxy-Request: activator\r\n" } else { "" };
            client.send(&root(proxied));
            client
        })
        .collect();
    scraped(&sidecar, "three at a time", |stat| {
        (stat.average_concurrent_requests - 3.0).abs() < 0.001
    });
    gate.open(3);
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
    scraped(&sidecar, "silence", |stat| stat.average_concurrent_requests == 0.0);
}

#[test]
fn proxied_requests_are_counted_separately() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    get(sidecar.ports.main, &root("K-Proxy-Request: activator\r\n"));
    scraped(&sidecar, "one proxied request", |stat| stat.proxied_request_count == 1.0);
}

#[test]
fn probes_do_not_count_as_load() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    for _ in 0..5 {
        let kubelet = "User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n";
        get(sidecar.ports.main, &root(kubelet));
        get(sidecar.ports.main, &root("K-Network-Probe: probe\r\nK-Network-Hash: h\r\n"));
        get(sidecar.ports.main, &root("K-Kubelet-Probe: x\r\n"));
    }
    assert_eq!(app.requests(), 5);
    // A request that resembles a probe counts, after all of the above.
    for _ in 0..5 {
        get(sidecar.ports.main, &root("User-Agent: curl\r\nK-Network-Probe: queue\r\n"));
    }
    total_requests(&sidecar, 5.0);
}

#[test]
fn metrics_have_knatives_names_labels_and_buckets() {
    let app = App::start(|connection| {
        while let Some(head) = connection.request() {
            let status = if head.contains("/bad") { "500 No" } else { "200 OK" };
            connection.send(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello"));
        }
    });
    let sidecar = Sidecar::start(app.port, &[PROMETHEUS, ("CONTAINER_CONCURRENCY", "1")]);
    get(sidecar.ports.main, &root("Knative-Serving-Tag: blue\r\n"));
    get(sidecar.ports.main, "GET /bad HTTP/1.1\r\nHost: h\r\n\r\n");
    get(sidecar.ports.main, &root("User-Agent: curl\r\nK-Network-Probe: queue\r\n"));
    let invocations = |page: &str, status: u16| {
        let labels = format!("http_response_status_code=\"{status}\"");
        let name = "kn_serving_invocation_duration_seconds_count";
        page.lines()
            .any(|line| line.starts_with(name) && line.contains(&labels) && line.ends_with(" 1"))
    };
    eventually("both requests", || {
        let page = page(&sidecar);
        invocations(page.text(), 200) && invocations(page.text(), 500)
    });
    let response = page(&sidecar);
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8; escaping=underscores")
    );
    let app_port = format!("server_address=\"127.0.0.1\",server_port=\"{}\"", app.port);
    for expected in [
        "kn_route_tag=\"blue\"",
        "kn_route_tag=\"kn:disabled\"",
        "server_address=\"web.example\"",
        "le=\"0.005\"",
        "le=\"7.5\"",
        "http_server_request_duration_seconds_bucket",
        "http_server_request_body_size_bytes_bucket",
        "http_server_response_body_size_bytes_bucket",
        "http_client_request_duration_seconds_bucket",
        "target_info{container_name=\"queue-proxy\",k8s_namespace_name=\"default\"",
        &app_port,
    ] {
        assert!(response.text().contains(expected), "no {expected} in\n{}", response.text());
    }
}

#[test]
fn the_metrics_listener_serves_one_path_and_two_methods() {
    let sidecar = Sidecar::start(1, &[PROMETHEUS]);
    let port = sidecar.ports.metrics;
    let post = get(port, "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(get(port, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").status, 404);
    assert_eq!(Sidecar::start(1, &[]).ports.metrics, 0);
}

/// Knative's gauge is written when a request is admitted and never afterwards.
#[test]
fn the_queue_depth_returns_to_zero() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = Sidecar::start(app.port, &[PROMETHEUS, ("CONTAINER_CONCURRENCY", "1")]);
    let depth = || {
        let page = page(&sidecar);
        let line = page.text().lines().find(|line| line.starts_with("kn_serving_queue_depth{"));
        line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    eventually("a depth of one", || depth() == "1");
    gate.open(1);
    client.response();
    eventually("a depth of zero", || depth() == "0");
}

#[test]
fn clients_cannot_make_metrics_grow_without_bound() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[PROMETHEUS]);
    let mut client = Client::connect(sidecar.ports.main);
    for number in 0..500 {
        let response = client.ask(&format!("GET / HTTP/1.1\r\nHost: h{number}\r\n\r\n"));
        assert_eq!(response.text(), "hello");
    }
    let page = page(&sidecar);
    let name = "http_server_request_duration_seconds_count";
    let series = page.text().lines().filter(|line| line.starts_with(name)).count();
    // Eight hosts, and one for all further ones, which still tells method and status.
    assert_eq!(series, 9);
    let rest = "http_request_method=\"GET\",http_response_status_code=\"200\",\
                otel_metric_overflow=\"true\"} 492";
    assert!(page.text().contains(rest), "{}", page.text());
}
