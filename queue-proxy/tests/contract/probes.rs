//! Probes: how they are recognised, and how the app's readiness is found out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::app::{App, eventually};
use crate::client::{Response, assert_line, get, root, timed};
use crate::sidecar::Sidecar;

const KUBELET: &str = "User-Agent: kube-probe/1.30\r\nK-Network-Probe: queue\r\n";

fn probe(sidecar: &Sidecar) -> Response {
    get(sidecar.ports.main, &root(KUBELET))
}

fn with_probe(app: &App, probe: &str) -> Sidecar {
    let probe = probe.replace("PORT", &app.port.to_string());
    Sidecar::start(app.port, &[("SERVING_READINESS_PROBE", &probe)])
}

#[test]
fn probes_are_classified_by_user_agent_first() {
    let sidecar = Sidecar::start(App::absent_port(), &[]);
    let port = sidecar.ports.main;
    let wrong = get(port, &root("User-Agent: kube-probe/1.30\r\n"));
    assert_eq!((wrong.status, wrong.text()), (400, "unexpected probe header value: \n"));
    assert_eq!(wrong.header("x-content-type-options"), Some("nosniff"));

    for agent in ["kube-probe/1.30", "Knative-Activator-Probe", "Knative-Autoscaling-Probe/x"] {
        let ready = get(
            port,
            &format!(
                "POST /any HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\
                 K-Network-Probe: queue\r\n\r\n"
            ),
        );
        assert_eq!((ready.status, ready.text()), (200, "queue"), "{agent}");
        assert_eq!(ready.header("content-length"), Some("5"));
        assert_eq!(ready.header("content-type"), Some("text/plain; charset=utf-8"));
        let lines = format!("User-Agent: {agent}\r\nK-Network-Probe: activator\r\n");
        let wrong = get(port, &root(&lines));
        assert_eq!(wrong.text(), "unexpected probe header value: activator\n");
    }
    let lines = "User-Agent: kube-probe/1\r\nK-Network-Probe: probe\r\nK-Network-Hash: x\r\n";
    assert_eq!(get(port, &root(lines)).status, 400);
}

#[test]
fn network_probes_echo_their_hash() {
    let sidecar = Sidecar::start(App::absent_port(), &[]);
    let without = get(sidecar.ports.main, &root("K-Network-Probe: probe\r\n"));
    assert_eq!(without.status, 400);
    assert_eq!(
        without.text(),
        "a probe request must contain a non-empty \"K-Network-Hash\" header\n"
    );
    let lines = "User-Agent: Knative-Ingress-Probe\r\nK-Network-Probe: probe\r\n\
                 K-Network-Hash: deadbeef\r\n";
    let with = get(sidecar.ports.main, &root(lines));
    assert_eq!((with.status, with.text()), (200, ""));
    assert_eq!(with.header("k-network-hash"), Some("deadbeef"));
}

#[test]
fn requests_that_resemble_probes_are_traffic() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    let marked = root("User-Agent: curl\r\nK-Network-Probe: queue\r\n");
    assert_eq!(get(sidecar.ports.main, &marked).text(), "hello");
    assert_line(&app.head(), "K-Network-Probe: queue");
    let healthz = "GET /healthz HTTP/1.1\r\nHost: h\r\nUser-Agent: curl\r\n\r\n";
    assert_eq!(get(sidecar.ports.main, healthz).text(), "hello");
}

#[test]
fn an_aggressive_probe_detects_readiness_soon_and_is_shared() {
    let healthy = Arc::new(AtomicBool::new(false));
    let tries = Arc::new(AtomicUsize::new(0));
    let (is_ready, counted) = (healthy.clone(), tries.clone());
    let app = App::start(move |connection| {
        connection.request();
        counted.fetch_add(1, Ordering::SeqCst);
        connection.send(if is_ready.load(Ordering::SeqCst) {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
        });
    });
    let sidecar = with_probe(&app, r#"{"httpGet":{"port":PORT,"path":"/health"}}"#);
    let port = sidecar.ports.main;
    let ask = move || std::thread::spawn(move || get(port, &root(KUBELET)));
    let (first, second) = (ask(), ask());
    eventually("the fifth try", || tries.load(Ordering::SeqCst) >= 5);
    healthy.store(true, Ordering::SeqCst);
    let tried = tries.load(Ordering::SeqCst);
    assert_eq!(first.join().unwrap().text(), "queue");
    assert_eq!(second.join().unwrap().text(), "queue");
    // Both shared one round: at most one more attempt was in flight, and one passed.
    assert!(tries.load(Ordering::SeqCst) <= tried + 3);
}

#[test]
fn an_aggressive_probe_times_out_with_a_reason() {
    let app = App::responding("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let sidecar = with_probe(&app, r#"{"httpGet":{"port":PORT}}"#);
    let (response, elapsed) = timed(|| probe(&sidecar));
    assert_eq!((response.status, response.text()), (503, ""));
    assert!(elapsed >= Duration::from_secs(10), "{elapsed:?}");
    let line = sidecar.stderr.wait_for("aggressive probe error (failed ");
    assert!(line.contains("status 500"), "{line}");
    // Twenty tries a second, for ten seconds.
    assert!((100..=201).contains(&app.requests()), "{}", app.requests());
}

#[test]
fn a_probe_with_a_period_is_tried_once() {
    let app = App::responding("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let once = r#"{"httpGet":{"port":PORT},"periodSeconds":1,"timeoutSeconds":1}"#;
    let sidecar = with_probe(&app, once);
    assert_eq!(probe(&sidecar).status, 503);
    assert_eq!(app.requests(), 1);

    let slow = App::start(|connection| {
        connection.request();
        connection.is_closed_by_peer();
    });
    let sidecar = with_probe(&slow, once);
    let (response, elapsed) = timed(|| probe(&sidecar));
    assert_eq!(response.status, 503);
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
}

#[test]
fn successes_are_counted_across_checks() {
    let app = App::hello();
    let sidecar = with_probe(&app, r#"{"httpGet":{"port":PORT},"successThreshold":3}"#);
    assert_eq!(probe(&sidecar).status, 200);
    assert_eq!(app.requests(), 3);
    assert_eq!(probe(&sidecar).status, 200);
    assert_eq!(app.requests(), 4);
}

#[test]
fn redirects_are_followed_and_304_is_ready() {
    let app = App::start(|connection| {
        let head = connection.request().unwrap();
        connection.send(match head.split(' ').nth(1) {
            Some("/old") => "HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 0\r\n\r\n",
            Some("/new") => "HTTP/1.1 304 Not Modified\r\n\r\n",
            _ => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        });
    });
    let sidecar = with_probe(&app, r#"{"httpGet":{"port":PORT,"path":"/old"}}"#);
    assert_eq!(probe(&sidecar).text(), "queue");
}

#[test]
fn http_probes_are_sent_as_by_knative_with_the_kubelets_user_agent() {
    let app = App::hello();
    let sidecar = with_probe(
        &app,
        r#"{"httpGet":{"port":PORT,"path":"/h?x=1","httpHeaders":[{"name":"X-Foo","value":"bar"},
            {"name":"Host","value":"other"},{"name":"User-Agent","value":"mine"}]}}"#,
    );
    assert_eq!(probe(&sidecar).text(), "queue");
    let head = app.head();
    assert!(head.starts_with("GET /h?x=1 HTTP/1.1\r\n"), "{head}");
    assert_line(&head, "Host: other");
    assert_line(&head, "User-Agent: mine");
    assert_line(&head, "X-Foo: bar");
    assert_line(&head, "Connection: close");
}

#[test]
fn tcp_exec_and_empty_probes() {
    let app = App::hello();
    let open = r#"{"tcpSocket":{"port":PORT},"periodSeconds":1}"#;
    assert_eq!(probe(&with_probe(&app, open)).text(), "queue");
    let closed = open.replace("PORT", &App::absent_port().to_string());
    assert_eq!(probe(&with_probe(&app, &closed)).status, 503);
    let exec = r#"{"exec":{"command":["true"]},"periodSeconds":1}"#;
    let sidecar = with_probe(&app, exec);
    assert_eq!(probe(&sidecar).status, 503);
    sidecar.stderr.wait_for("exec probe not supported");
    let sidecar = with_probe(&app, r#"{"periodSeconds":1}"#);
    assert_eq!(probe(&sidecar).status, 503);
    sidecar.stderr.wait_for("no probe found");
}

#[test]
fn several_probes_must_all_pass() {
    let (good, bad) = (App::hello(), App::responding("HTTP/1.1 500 No\r\n\r\n"));
    let one = |app: &App| format!("{{\"httpGet\":{{\"port\":{}}},\"periodSeconds\":1}}", app.port);
    let several = |list: String| {
        let changes =
            [("SERVING_READINESS_PROBE", &list[..]), ("ENABLE_MULTI_CONTAINER_PROBES", "true")];
        probe(&Sidecar::start(good.port, &changes)).status
    };
    assert_eq!(several(format!("[{},{}]", one(&good), one(&good))), 200);
    assert_eq!(several(format!("[{},{}]", one(&good), one(&bad))), 503);
    assert_eq!(several("[]".to_owned()), 200);
}

#[test]
fn http2_is_detected_and_http1_still_decides() {
    let app = App::start(|connection| {
        let Some(head) = connection.request() else { return };
        if head.starts_with("GET") {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let json = format!("{{\"httpGet\":{{\"port\":{}}},\"periodSeconds\":1}}", app.port);
    let changes = [("SERVING_READINESS_PROBE", &json[..]), ("ENABLE_HTTP2_AUTO_DETECTION", "true")];
    let sidecar = Sidecar::start(app.port, &changes);
    assert_eq!(probe(&sidecar).text(), "queue");
    let heads = app.heads(2);
    assert!(heads[0].starts_with("PRI * HTTP/2.0"), "{heads:?}");
    assert!(heads[1].starts_with("GET / HTTP/1.1"), "{heads:?}");
}

/// The kubelet times out after a second and probes again later: the round it began must go on.
#[test]
fn a_prober_that_gives_up_does_not_stop_the_probe() {
    let app = App::responding("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let sidecar = with_probe(&app, r#"{"httpGet":{"port":PORT}}"#);
    let mut impatient = crate::client::Client::connect(sidecar.ports.main);
    impatient.send(&root(KUBELET));
    app.heads(2);
    drop(impatient);
    let before = app.requests();
    app.heads(before + 5);
}
