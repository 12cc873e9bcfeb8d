//! Fifty clients that disconnected had fifty requests inside an app whose limit was one: the
//! slot went with its client, while the app worked on. With `TIDEGATE_ABANDONED=hold` the limit
//! means what is inside the app, in whatever phase its clients leave; `release` does as Knative's
//! sidecar does.

use std::net::TcpStream;
use std::time::Duration;

use crate::app::{App, Connection, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

/// How long the app works on a request, while its client leaves.
const APP_WORK: Duration = Duration::from_millis(30);
/// How long a client stays before it leaves: some are admitted by then, and some wait.
const CLIENT_STAY: Duration = Duration::from_millis(3);
/// A process that ends with its drain has ended by then; the app works for longer.
const AFTER_THE_DRAIN: Duration = Duration::from_millis(200);

const HOLD: (&str, &str) = ("TIDEGATE_ABANDONED", "hold");
const METRICS: (&str, &str) =
    ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);

fn start(app: &App, limit: &str, changes: &[(&str, &str)]) -> Sidecar {
    let mut all = vec![("CONTAINER_CONCURRENCY", limit), METRICS];
    all.extend_from_slice(changes);
    Sidecar::start(app.port, &all)
}

/// The value of one of our series.
fn series(sidecar: &Sidecar, name: &str) -> u64 {
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let line = page.text().lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    Orderly,
    Reset,
}

const BOTH: [Leaving; 2] = [Leaving::Orderly, Leaving::Reset];

fn leave(stream: TcpStream, how: Leaving) {
    if how == Leaving::Reset {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    drop(stream);
}

/// An app that never looks at its socket while it works, with each part of its work inside.
fn absorbed(work: Duration) -> App {
    App::start(move |connection| {
        while let Some(head) = connection.request() {
            connection.execute(|| std::thread::sleep(work));
            if let Some(length) =
                head.lines().find_map(|line| line.strip_prefix("Content-Length: "))
            {
                let length = length.parse().unwrap();
                if connection.body(length).len() < length {
                    return;
                }
            }
            answer_slowly(connection, work);
        }
    })
}

fn answer_slowly(connection: &mut Connection, work: Duration) {
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    std::thread::sleep(work);
    connection.send("5\r\nworld\r\n0\r\nX-Sum: 7\r\n\r\n");
}

/// Everything that was taken is free: exactly the limit enters, and not one more.
fn assert_given_back(sidecar: &Sidecar, limit: usize) {
    for name in ["executing", "waiting", "abandoned"] {
        eventually(name, || series(sidecar, &format!("tidegate_requests_{name}")) == 0);
    }
    let mut clients: Vec<_> = (0..limit).map(|_| Client::connect(sidecar.ports.main)).collect();
    for client in &mut clients {
        client.send(&root(""));
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "helloworld");
    }
}

#[test]
fn fifty_clients_that_leave_never_exceed_the_limit() {
    for limit in [1, 2, 5] {
        let app = App::start(|connection| {
            while connection.request().is_some() {
                connection.execute(|| std::thread::sleep(APP_WORK));
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
            }
        });
        let sidecar = start(&app, &limit.to_string(), &[HOLD]);
        for number in 0..50 {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&root(""));
            std::thread::sleep(CLIENT_STAY);
            leave(client.stream, BOTH[number % 2]);
        }
        assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
        assert!(app.most_executing() <= limit, "{} at limit {limit}", app.most_executing());
    }
}

#[test]
fn an_adaptive_limit_is_never_exceeded_either() {
    let app = absorbed(Duration::from_millis(10));
    let sidecar = start(&app, "3", &[HOLD, ("TIDEGATE_CONCURRENCY", "auto")]);
    for number in 0..50 {
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(""));
        std::thread::sleep(CLIENT_STAY);
        leave(client.stream, BOTH[number % 2]);
    }
    assert_given_back(&sidecar, 1);
    assert!(app.most_executing() <= 3, "{}", app.most_executing());
}

/// What a client sends before it leaves, and what it waits for.
const PHASES: [(&str, &str); 12] = [
    ("", ""),
    ("GET / HT", ""),
    ("GET / HTTP/1.1\r\nHost: h\r\nX-Half:", ""),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", ""),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200"),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "hello"),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "X-Sum"),
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "hello"),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n", ""),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf", ""),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nthewhole", ""),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n", ""),
];

#[test]
fn clients_that_leave_in_any_phase_leak_no_slot() {
    for limit in [1, 3] {
        let app = absorbed(Duration::from_millis(5));
        let sidecar = start(&app, &limit.to_string(), &[HOLD]);
        assert_given_back(&sidecar, limit);
        let before = sidecar.descriptors();
        for _ in 0..3 {
            for (bytes, awaited) in PHASES {
                for how in BOTH {
                    let mut client = Client::connect(sidecar.ports.main);
                    client.send(bytes);
                    if awaited.is_empty() {
                        std::thread::sleep(CLIENT_STAY);
                    } else {
                        client.until(awaited);
                    }
                    leave(client.stream, how);
                }
            }
        }
        assert_given_back(&sidecar, limit);
        assert!(app.most_executing() <= limit, "{} at {limit}", app.most_executing());
        // A moment for connections that are still closing; the pool is as it was.
        eventually("the descriptors", || sidecar.descriptors() <= before + limit);
    }
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place_and_never_reaches_the_app() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = start(&app, "1", &[HOLD]);
    let mut first = Client::connect(sidecar.ports.main);
    first.send(&root(""));
    app.heads(1);
    let mut second = Client::connect(sidecar.ports.main);
    second.send(&root(""));
    eventually("the line", || series(&sidecar, "tidegate_requests_waiting") == 1);
    leave(second.stream, Leaving::Reset);
    eventually("the line", || series(&sidecar, "tidegate_requests_waiting") == 0);
    gate.open(1);
    assert_eq!(first.response().text(), "hello");
    assert_eq!((app.requests(), series(&sidecar, "tidegate_requests_abandoned_total")), (1, 0));
}

#[test]
fn a_timed_out_request_still_holds_its_slot() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = start(&app, "1", &[HOLD, ("REVISION_TIMEOUT_SECONDS", "1")]);
    assert_eq!(get(sidecar.ports.main, &root("")).status, 504);
    assert_eq!(series(&sidecar, "tidegate_requests_abandoned"), 1);
    // The next one waits for the app, in vain.
    assert_eq!(get(sidecar.ports.main, &root("")).status, 504);
    assert_eq!(app.requests(), 1);
    gate.open(2);
    eventually("the slot", || series(&sidecar, "tidegate_requests_executing") == 0);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
    assert_eq!(app.most_executing(), 1);
}

#[test]
fn held_slots_count_as_concurrency_and_in_a_series_of_their_own() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = start(&app, "2", &[HOLD]);
    for (number, how) in BOTH.into_iter().enumerate() {
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(""));
        app.heads(number + 1);
        leave(client.stream, how);
    }
    eventually("both are abandoned", || series(&sidecar, "tidegate_requests_abandoned") == 2);
    assert_eq!(series(&sidecar, "tidegate_requests_executing"), 2);
    gate.open(2);
    eventually("both are done", || series(&sidecar, "tidegate_requests_executing") == 0);
    assert_eq!(series(&sidecar, "tidegate_requests_abandoned"), 0);
    assert_eq!(series(&sidecar, "tidegate_requests_abandoned_total"), 2);
}

#[test]
fn no_slot_is_held_for_longer_than_the_bound() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = start(&app, "1", &[HOLD, ("TIDEGATE_ABANDONED_TIMEOUT_MS", "100")]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    app.heads(1);
    leave(client.stream, Leaving::Orderly);
    eventually("the bound", || series(&sidecar, "tidegate_requests_executing") == 0);
    gate.open(2);
    assert_eq!(get(sidecar.ports.main, &root("")).text(), "hello");
}

#[test]
fn in_place_of_knatives_sidecar_the_slot_is_released_with_the_client() {
    for changes in [&[][..], &[("TIDEGATE_ABANDONED", "release")]] {
        let gate = Gate::default();
        let app = App::held(&gate);
        let sidecar = start(&app, "1", changes);
        let mut client = Client::connect(sidecar.ports.main);
        client.send(&root(""));
        app.heads(1);
        leave(client.stream, Leaving::Orderly);
        let mut next = Client::connect(sidecar.ports.main);
        next.send(&root(""));
        app.heads(2);
        gate.open(2);
        assert_eq!(next.response().text(), "hello");
        assert_eq!(series(&sidecar, "tidegate_requests_abandoned_total"), 1);
    }
}

#[test]
fn a_drain_waits_for_abandoned_requests() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let mut sidecar = start(&app, "1", &[HOLD]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    app.heads(1);
    leave(client.stream, Leaving::Orderly);
    eventually("it is abandoned", || series(&sidecar, "tidegate_requests_abandoned") == 1);
    sidecar.signal("TERM");
    sidecar.stderr.wait_for("signal to end");
    std::thread::sleep(AFTER_THE_DRAIN);
    assert!(sidecar.is_running(), "the app is at work");
    gate.open(1);
    assert!(sidecar.wait().success());
}

#[test]
fn the_grace_period_bounds_the_wait_for_abandoned_requests() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let mut sidecar = start(&app, "1", &[HOLD, ("TIDEGATE_GRACE_PERIOD_MS", "300")]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send(&root(""));
    app.heads(1);
    leave(client.stream, Leaving::Orderly);
    eventually("it is abandoned", || series(&sidecar, "tidegate_requests_abandoned") == 1);
    sidecar.signal("TERM");
    assert!(sidecar.wait().success());
    assert!(sidecar.stderr.all().contains("the grace period is over"));
    gate.open(1);
}

#[test]
fn the_rule_is_hold_or_release() {
    let changes = [("CONTAINER_CONCURRENCY", "1"), ("TIDEGATE_ABANDONED", "keep")];
    let mut sidecar = Sidecar::spawn(App::absent_port(), &changes);
    assert_eq!(sidecar.wait().code(), Some(1));
    let said = sidecar.stderr.all();
    assert!(said.contains("cannot use 'keep', expected 'hold' or 'release'"), "{said}");
}
