//! A client that left while its request waited for a slot was in no series of the sidecar: those of
//! failures leave it out, because nothing failed, and those of abandoned requests begin at the app.

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

fn count(sidecar: &Sidecar, name: &str) -> u64 {
    let page = get(sidecar.ports.metrics, "GET /metrics HTTP/1.0\r\n\r\n");
    let line = page.text().lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn clients_that_leave_are_counted_in_the_queue_and_in_the_app() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let metrics = ("OBSERVABILITY_CONFIG", r#"{"requestMetrics":{"protocol":"prometheus"}}"#);
    let limit = ("CONTAINER_CONCURRENCY", "1");
    let sidecar = Sidecar::start(app.port, &[limit, metrics, ("TIDEGATE_ABANDONED", "hold")]);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(sidecar.ports.main)).collect();
    clients[0].send(&root(""));
    app.heads(1);
    for client in &mut clients[1..] {
        client.send(&root(""));
    }
    eventually("the queue", || count(&sidecar, "tidegate_requests_waiting") == 2);
    clients.truncate(1);
    eventually("two have left", || count(&sidecar, "tidegate_requests_left_total") == 2);
    assert_eq!(count(&sidecar, "tidegate_requests_abandoned_total"), 0);
    clients.clear();
    eventually("all have left", || count(&sidecar, "tidegate_requests_left_total") == 3);
    assert_eq!(count(&sidecar, "tidegate_requests_abandoned_total"), 1);
    gate.open(1);
    eventually("the slot", || count(&sidecar, "tidegate_requests_executing") == 0);
}
