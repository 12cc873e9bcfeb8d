//! Orders: a restart that loses no request, numbers that hold, an end with its summary.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::Desk;
use crate::running::{get, wait_until};

/// Clients that ask without a pause until told to end; each says how many were answered and lost.
struct Traffic {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    clients: Vec<JoinHandle<(u32, u32)>>,
}

impl Traffic {
    fn start(address: &str, clients: usize) -> Self {
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let client = |_| {
            let (over, sent, address) = (Arc::clone(&over), Arc::clone(&sent), address.to_owned());
            std::thread::spawn(move || {
                let (mut answered, mut lost) = (0, 0);
                while !over.load(Ordering::Relaxed) {
                    match get(&address) {
                        Ok(answer) if answer.status == 200 => answered += 1,
                        _ => lost += 1,
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                (answered, lost)
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { over, sent, clients }
    }

    /// Waits until so many more requests have been sent.
    fn go_on_for(&self, requests: u32) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        wait_until("requests are sent", || self.sent.load(Ordering::Relaxed) >= until);
    }

    fn end(self) -> (u32, u32) {
        self.over.store(true, Ordering::Relaxed);
        let counts = self.clients.into_iter().map(|client| client.join().expect("it ends"));
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }
}

fn instances(desk: &Desk) -> BTreeSet<String> {
    let service = desk.service("web");
    let all = service["instances"].as_array().expect("a list").iter();
    let ready = all.filter(|instance| instance["state"] == "ready");
    ready.map(|instance| instance["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_restart_under_traffic_loses_no_request() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["--min", "2", "--max", "2", "-c", "4"]);
    web.wait_for("web-1 is ready");
    web.wait_for("web-2 is ready");
    let traffic = Traffic::start(&web.address(), 4);
    traffic.go_on_for(20);
    for round in 1..=3 {
        let before = instances(&desk);
        let told = desk.printed(&["restart", "web"]);
        assert!(told.contains("web restarts 2 instances"), "{told}");
        assert!(told.contains("web has restarted"), "{told}");
        let after = instances(&desk);
        assert!(before.is_disjoint(&after), "round {round}: {before:?}, then {after:?}");
        assert_eq!(after.len(), 2, "{after:?}");
        traffic.go_on_for(20);
    }
    let (answered, lost) = traffic.end();
    println!("3 restarts of 2 instances: {answered} requests answered, {lost} lost");
    assert_eq!(lost, 0, "of {answered}");
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}

#[test]
fn a_number_is_kept_until_it_is_taken_back() {
    let desk = Desk::new();
    let mut web = desk.run("web", &["--window", "6s", "--idle", "1s"]);
    web.wait_for("is ready");
    let told = desk.printed(&["scale", "web", "3"]);
    assert!(told.contains("3 by hand until `tidegate scale auto`"), "{told}");
    wait_until("three are ready", || instances(&desk).len() == 3);
    let shown = desk.printed(&["ps", "web"]);
    assert!(shown.contains("declared 0 to 10"), "{shown}");
    let told = desk.printed(&["scale", "1..2", "--for", "1h"]);
    assert!(told.contains("1 to 2 by hand for another 1h"), "{told}");
    wait_until("one is kept", || instances(&desk).len() == 1);
    let json = desk.printed(&["scale", "auto", "--json"]);
    let service: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(service["pinned"].is_null(), "{json}");
    wait_until("idle, it goes to zero", || instances(&desk).is_empty());
    for (arguments, said) in [
        (&["scale", "web", "0"][..], "tidegate stop"),
        (&["scale", "web", "x"], "expected a number such as 3"),
        (&["scale", "auto", "--for", "1h"], "--for belongs to a number"),
        (&["scale"], "required"),
    ] {
        let refused = desk.tidegate(arguments);
        assert_eq!(refused.code, Some(2), "{arguments:?}: {}", refused.err);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
    web.signal("INT");
    assert_eq!(web.wait_for_exit(), Some(0));
}

#[test]
fn a_stop_lets_requests_finish_and_brings_the_summary() {
    let desk = Desk::new();
    let mut web = desk.run("web", &[]);
    web.wait_for("is ready");
    let traffic = Traffic::start(&web.address(), 1);
    traffic.go_on_for(10);
    let (answered, _) = traffic.end();
    let told = desk.printed(&["stop"]);
    assert!(told.contains("web stopped"), "{told}");
    assert!(told.contains(&format!("{answered} requests in ")), "{told}");
    assert_eq!(web.wait_for_exit(), Some(0));
    assert!(web.descendants().is_empty());
    assert_eq!(desk.tidegate(&["ps"]).code, Some(3));
}

#[test]
fn everything_is_stopped_at_once() {
    let desk = Desk::new();
    let mut runs = ["web", "api"].map(|name| desk.run(name, &[]));
    for run in &mut runs {
        run.wait_for("is ready");
    }
    let json = desk.printed(&["stop", "--all", "--json"]);
    let services: BTreeSet<String> = json
        .lines()
        .map(|line| {
            let summary: serde_json::Value = serde_json::from_str(line).expect("JSON");
            summary["service"].as_str().expect("a name").to_owned()
        })
        .collect();
    assert_eq!(services, BTreeSet::from(["api".to_owned(), "web".to_owned()]));
    for run in &mut runs {
        assert_eq!(run.wait_for_exit(), Some(0));
    }
}
