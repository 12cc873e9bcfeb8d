//! The drain: what clients and the kubelet see of it.

use std::time::Duration;

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root, timed};
use crate::sidecar::Sidecar;

/// Somewhat more than half of the quiet period that a test sets.
const HALF_QUIET_PERIOD: Duration = Duration::from_millis(800);

const KUBELET: &str = "User-Agent: kube-probe/1.30\r\nK-Network-Probe: queue\r\n";
/// Long enough to make requests while the sidecar drains.
const LONG_QUIET: (&str, &str) = ("TIDEGATE_QUIET_PERIOD_MS", "60000");
const SHORT_QUIET: (&str, &str) = ("TIDEGATE_QUIET_PERIOD_MS", "300");

fn draining(sidecar: &Sidecar) {
    sidecar.signal("TERM");
    eventually("the drain", || get(sidecar.ports.main, &root(KUBELET)).status == 503);
}

#[test]
fn an_idle_sidecar_ends_after_the_quiet_period() {
    for signal in ["TERM", "INT"] {
        let mut sidecar = Sidecar::start(1, &[SHORT_QUIET]);
        sidecar.signal(signal);
        let (status, elapsed) = timed(|| sidecar.wait());
        assert_eq!(status.code(), Some(0));
        assert!(elapsed >= Duration::from_millis(290), "{elapsed:?}");
    }
}

#[test]
fn probes_fail_and_requests_are_served() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[LONG_QUIET]);
    draining(&sidecar);
    for lines in [KUBELET, "K-Network-Probe: probe\r\nK-Network-Hash: h\r\n"] {
        let probe = get(sidecar.ports.main, &root(lines));
        assert_eq!((probe.status, probe.text()), (503, "shutting down\n"));
        assert_eq!(probe.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    assert_eq!(get(sidecar.ports.stats, "GET /metrics HTTP/1.0\r\n\r\n").status, 200);
}

/// Knative's sidecar sends no `Connection: close` until its listener is closed.
#[test]
fn responses_close_connections_from_the_start_of_the_drain() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[LONG_QUIET]);
    let mut kept = Client::connect(sidecar.ports.main);
    assert_eq!(kept.ask(&root("")).header("connection"), None);
    draining(&sidecar);
    let last = kept.ask(&root(""));
    assert_eq!((last.text(), last.header("connection")), ("hello", Some("close")));
    assert!(kept.is_closed());
}

#[test]
fn each_request_restarts_the_quiet_period() {
    let app = App::hello();
    let mut sidecar = Sidecar::start(app.port, &[("TIDEGATE_QUIET_PERIOD_MS", "1500")]);
    sidecar.signal("TERM");
    let (status, elapsed) = timed(|| {
        std::thread::sleep(HALF_QUIET_PERIOD);
        assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
        sidecar.wait()
    });
    assert_eq!(status.code(), Some(0));
    assert!(elapsed >= Duration::from_millis(2290), "{elapsed:?}");
}

#[test]
fn work_in_flight_ends_and_idle_clients_are_closed() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let mut sidecar = Sidecar::start(app.port, &[SHORT_QUIET]);
    let mut idle = Client::connect(sidecar.ports.main);
    gate.open(1);
    assert_eq!(idle.ask(&root("")).text(), "hello");
    let mut long = Client::connect(sidecar.ports.main);
    long.send(&root(""));
    app.heads(2);
    sidecar.signal("TERM");
    assert!(idle.is_closed());
    // The listener is closed, and the process waits.
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(("127.0.0.1", sidecar.ports.main)).is_err()
    });
    assert!(sidecar.is_running());
    gate.open(1);
    assert_eq!(long.response().text(), "hello");
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn the_grace_period_bounds_the_wait() {
    let app = App::held(&Gate::default());
    let changes = [("TIDEGATE_QUIET_PERIOD_MS", "0"), ("TIDEGATE_GRACE_PERIOD_MS", "300")];
    let mut sidecar = Sidecar::start(app.port, &changes);
    let mut stuck = Client::connect(sidecar.ports.main);
    stuck.send(&root(""));
    app.heads(1);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    sidecar.stderr.wait_for("work in flight is cut off");
    assert!(!stuck.response().whole);
}

#[test]
fn a_second_signal_ends_at_once_with_its_code() {
    let mut sidecar = Sidecar::start(1, &[LONG_QUIET]);
    draining(&sidecar);
    sidecar.signal("INT");
    assert_eq!(sidecar.wait().code(), Some(130));
}

#[test]
fn a_drain_that_no_signal_confirms_is_undone() {
    let sidecar = Sidecar::start(1, &[LONG_QUIET]);
    let admin = sidecar.ports.admin;
    let waiting = std::thread::spawn(move || {
        timed(|| get(admin, "POST /wait-for-drain HTTP/1.1\r\nHost: h\r\n\r\n"))
    });
    eventually("the drain", || get(sidecar.ports.main, &root(KUBELET)).status == 503);
    let (response, elapsed) = waiting.join().unwrap();
    assert_eq!((response.status, response.text()), (200, ""));
    assert!(elapsed >= Duration::from_millis(990), "{elapsed:?}");
    assert_eq!(get(sidecar.ports.main, &root(KUBELET)).text(), "queue");
}

#[test]
fn wait_for_drain_starts_the_quiet_period_early() {
    let mut sidecar = Sidecar::start(1, &[("TIDEGATE_QUIET_PERIOD_MS", "1500")]);
    let mut asking = Client::connect(sidecar.ports.admin);
    let (status, elapsed) = timed(|| {
        asking.send("GET /wait-for-drain HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the drain", || get(sidecar.ports.main, &root(KUBELET)).status == 503);
        sidecar.signal("TERM");
        sidecar.wait()
    });
    assert_eq!((status.code(), asking.response().status), (Some(0), 200));
    assert!(elapsed >= Duration::from_millis(1490), "{elapsed:?}");
}

/// Knative's `/wait-for-drain` counts new requests only: it lets the kubelet end the app under a
/// request that still runs.
#[test]
fn wait_for_drain_waits_for_work_in_flight() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let mut sidecar = Sidecar::start(app.port, &[SHORT_QUIET]);
    let mut long = Client::connect(sidecar.ports.main);
    long.send(&root(""));
    app.heads(1);
    let mut asking = Client::connect(sidecar.ports.admin);
    asking.send("GET /wait-for-drain HTTP/1.1\r\nHost: h\r\n\r\n");
    sidecar.signal("TERM");
    eventually("the listener is closed", || {
        std::net::TcpStream::connect(("127.0.0.1", sidecar.ports.main)).is_err()
    });
    assert!(asking.is_silent_for(300));
    gate.open(1);
    assert_eq!(long.response().text(), "hello");
    assert_eq!(asking.response().status, 200);
    assert_eq!(sidecar.wait().code(), Some(0));
}
