//! Which requests are admitted, wait or are refused.

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

const LIMIT_ONE: (&str, &str) = ("CONTAINER_CONCURRENCY", "1");

/// As many clients with a request on its way, in order of arrival.
fn arrive(sidecar: &Sidecar, count: usize) -> Vec<Client> {
    (0..count)
        .map(|number| {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"));
            // Requests on different connections have no order but the one in which they are read.
            wait_until_inside(sidecar, number + 1);
            client
        })
        .collect()
}

fn wait_until_inside(sidecar: &Sidecar, count: usize) {
    if sidecar.ports.metrics == 0 {
        return;
    }
    let expected = format!("}} {count}\n");
    eventually("the depth", || {
        let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
        let depth = page.text().lines().find(|line| line.starts_with("kn_serving_queue_depth{"));
        depth.is_some_and(|line| format!("{line}\n").ends_with(&expected))
    });
}

fn limited(app: &App, changes: &[(&str, &str)]) -> Sidecar {
    let metrics = r#"{"requestMetrics":{"protocol":"prometheus"}}"#;
    let mut all = vec![LIMIT_ONE, ("OBSERVABILITY_CONFIG", metrics)];
    all.extend_from_slice(changes);
    Sidecar::start(app.port, &all)
}

#[test]
fn the_twelfth_request_is_refused_at_once() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(&app, &[]);
    let mut clients = arrive(&sidecar, 11);
    let mut twelfth = Client::connect(sidecar.ports.main);
    let refused = twelfth.ask(&root(""));
    assert_eq!((refused.status, refused.text()), (503, "pending request queue full\n"));
    assert_eq!(refused.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    gate.open(12);
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
    // The refused client's connection stays usable.
    assert_eq!(twelfth.ask(&root("")).text(), "hello");
    assert_eq!(app.most_executing(), 1);
}

/// `K-Kubelet-Probe` takes any client past Knative's limit: the twelfth request is served while
/// eleven wait.
#[test]
fn the_probe_header_does_not_bypass_the_limit() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(&app, &[]);
    let _clients = arrive(&sidecar, 11);
    let refused = get(sidecar.ports.main, &root("K-Kubelet-Probe: x\r\n"));
    assert_eq!(refused.status, 503);
    assert_eq!(app.requests(), 1);
    gate.open(11);
}

#[test]
fn waiting_requests_are_served_in_order() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(&app, &[]);
    let _clients = arrive(&sidecar, 9);
    gate.open(9);
    let lines: Vec<String> =
        app.heads(9).iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..9).map(|number| format!("/{number}")).collect();
    assert_eq!(lines, expected);
    assert_eq!(app.most_executing(), 1);
}

#[test]
fn a_client_that_disconnects_leaves_the_queue() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(&app, &[]);
    let mut clients = arrive(&sidecar, 11);
    clients.truncate(1);
    wait_until_inside(&sidecar, 1);
    let mut late = Client::connect(sidecar.ports.main);
    late.send("GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until_inside(&sidecar, 2);
    gate.open(2);
    assert_eq!(clients[0].response().text(), "hello");
    assert_eq!(late.response().text(), "hello");
    let lines: Vec<String> =
        app.heads(2).iter().map(|head| head.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lines, ["/0", "/late"]);
}

#[test]
fn without_a_limit_every_request_is_admitted() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = Sidecar::start(app.port, &[]);
    let mut clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&root(""));
            client
        })
        .collect();
    app.heads(200);
    gate.open(200);
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
}

#[test]
fn the_timeout_includes_the_wait_in_the_queue() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(&app, &[("REVISION_TIMEOUT_SECONDS", "1")]);
    let mut clients = arrive(&sidecar, 3);
    for client in &mut clients {
        let response = client.response();
        assert_eq!((response.status, response.text()), (504, "request timeout"));
    }
    gate.open(3);
}

#[test]
fn the_queues_depth_and_longest_wait_can_be_set() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = limited(
        &app,
        &[
            ("TIDEGATE_QUEUE_DEPTH", "1"),
            ("TIDEGATE_QUEUE_TIMEOUT_MS", "50"),
            ("TIDEGATE_REFUSAL_STATUS", "429"),
            ("TIDEGATE_RETRY_AFTER_SECONDS", "3"),
        ],
    );
    let mut clients = arrive(&sidecar, 2);
    let late = clients[1].response();
    assert_eq!(late.status, 429);
    assert_eq!(late.text(), "request waited too long in the queue\n");
    assert_eq!(late.header("retry-after"), Some("3"));
    gate.open(1);
    assert_eq!(clients[0].response().text(), "hello");
}

#[test]
fn several_data_threads_share_one_limit_and_one_drain() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let mut sidecar =
        limited(&app, &[("TIDEGATE_DATA_THREADS", "3"), ("CONTAINER_CONCURRENCY", "2")]);
    let mut clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&root(""));
            client
        })
        .collect();
    wait_until_inside(&sidecar, 20);
    gate.open(20);
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
    // The app may be so quick that it never has two at once; it must not have three.
    assert!(app.most_executing() <= 2, "{} at a time", app.most_executing());
    sidecar.signal("TERM");
    for client in &mut clients {
        assert!(client.is_closed());
    }
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn an_adaptive_limit_is_applied_and_exported() {
    let app = App::hello();
    let sidecar =
        limited(&app, &[("TIDEGATE_CONCURRENCY", "auto"), ("CONTAINER_CONCURRENCY", "8")]);
    for _ in 0..20 {
        assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    }
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let limit = page.text().lines().find(|line| line.starts_with("tidegate_concurrency_limit{"));
    let limit: u32 = limit.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!((1..=8).contains(&limit), "{limit}");
}

/// Knative gives the slot of an upgraded stream back when both sides have closed: an app that
/// has closed a WebSocket keeps its slot taken until the client closes as well.
#[test]
fn an_app_that_closes_an_upgraded_stream_frees_its_slot() {
    let app = App::start(|connection| {
        while let Some(head) = connection.request() {
            if head.starts_with("GET /ws") {
                connection.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\n\r\n",
                );
                return;
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let sidecar = limited(&app, &[]);
    let mut upgraded = Client::connect(sidecar.ports.main);
    upgraded
        .send("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(upgraded.head().starts_with("HTTP/1.1 101"));
    // The client does not close; the next request enters all the same.
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    drop(upgraded);
}
