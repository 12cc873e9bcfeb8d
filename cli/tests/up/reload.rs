//! The file changes while clients ask: nothing is lost, and who did not change is not touched.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::running::{Running, kill, wait_until};
use crate::{Desk, PATIENCE, address, get};

const FILE: &str = r#"
[service.web]
command = APP
environment = { VERSION = "0" }
concurrency = 4
[service.api]
command = APP
"#;

/// Changes of the file while clients ask.
const RELOADS: u32 = 10;

/// Clients at a time.
const CLIENTS: u32 = 6;

/// Clients that ask without a pause until they are told to stop.
pub(crate) struct Clients {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    pub(crate) fn start(address: &str, host: &'static str) -> Self {
        let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (over, asked, address) =
                (Arc::clone(&over), Arc::clone(&asked), address.to_owned());
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    match get(&address, host, "/") {
                        Ok((200, _)) => {}
                        Ok((status, body)) => lost.push(format!("{status} {body}")),
                        Err(error) => lost.push(error.to_string()),
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                lost
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { over, asked, clients }
    }

    /// Waits until so many more were answered that each client was.
    pub(crate) fn wait_for_some(&self) {
        let before = self.asked.load(Ordering::Relaxed);
        wait_until("clients are served", || self.asked.load(Ordering::Relaxed) > before + 50);
    }

    /// How many were asked for, and what became of those that were lost.
    pub(crate) fn end(self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        let lost = self.clients.into_iter().flat_map(|client| client.join().expect("it ends"));
        let lost = lost.collect();
        (self.asked.load(Ordering::Relaxed), lost)
    }
}

fn ends(mut up: Running) -> String {
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
    assert!(up.descendants().is_empty());
    up.output()
}

#[test]
fn ten_changes_lose_no_request_and_touch_nobody_else() {
    let desk = Desk::new(FILE);
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    up.wait_for("api-00001-1 is ready");
    let clients = Clients::start(&address(&mut up), "web.localhost");
    for change in 1..=RELOADS {
        desk.write(&FILE.replace("\"0\"", &format!("\"{change}\"")));
        up.wait_for(&format!("requests go to web-{:05}; web-{change:05} ends", change + 1));
        // By the new revision, too.
        clients.wait_for_some();
    }
    wait_until("the old revisions are gone", || up.output().matches(" stopped").count() >= 10);
    let (asked, lost) = clients.end();
    println!("{asked} requests over {RELOADS} changes, {} lost", lost.len());
    assert!(lost.is_empty(), "{} of {asked} lost: {lost:#?}", lost.len());
    let output = ends(up);
    assert!(!output.contains("api-00001-1 drains"), "{output}");
    assert!(!output.contains("api-00002"), "{output}");
    assert!(output.contains("; failed 0"), "{output}");
}

#[test]
fn a_mistake_changes_nothing_and_is_printed_with_its_place() {
    let desk = Desk::new(FILE);
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    desk.write(&FILE.replace("concurrency", "concurency"));
    up.wait_for("everything stays as it was");
    assert!(
        up.output().contains("tidegate.toml:5:1: service \"web\": unknown key `concurency`"),
        "{}",
        up.output()
    );
    assert_eq!(get(&address(&mut up), "web.localhost", "/").expect("it answers").0, 200);
    desk.write(&FILE.replace("APP\nenvironment", "[\"/no/such/program\"]\nenvironment"));
    up.wait_for("there is no program \"/no/such/program\"");
    desk.write(&FILE.replace("concurrency = 4", "concurrency = 4\nmax = 3"));
    up.wait_for("web: its scale");
    let output = ends(up);
    assert!(!output.contains("web-00002"), "what only scales is no new revision: {output}");
}

#[test]
fn a_revision_that_does_not_come_up_leaves_the_old_one_serving() {
    let desk = Desk::new(FILE);
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    let clients = Clients::start(&address(&mut up), "web.localhost");
    desk.write(&FILE.replacen("APP", "\"echo it went boom; exit 3\"", 1));
    up.wait_for("web stays web-00001: web-00002: the app ended (exit status: 3)");
    // The same file does not try again by itself; a hang-up of the process does.
    kill(up.pid(), "HUP");
    up.wait_for("web stays web-00001: web-00003");
    desk.write(&FILE.replace("\"0\"", "\"1\""));
    up.wait_for("requests go to web-00004; web-00001 ends");
    wait_until("the old revision is gone", || up.output().contains("web-00001-1 stopped"));
    let (asked, lost) = clients.end();
    assert!(lost.is_empty(), "{} of {asked} lost: {lost:#?}", lost.len());
    ends(up);
}

/// Shares go as the rollout says, without a request lost, and the old revision ends after it.
#[test]
fn a_rollout_in_shares_is_led_to_its_end() {
    let rollout = "rollout = { steps = [{ percent = 20, hold = \"1s\" }], min_requests = 20 }";
    let file = FILE.replace("concurrency = 4", rollout);
    let desk = Desk::new(&file);
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    let clients = Clients::start(&address(&mut up), "web.localhost");
    let begun = Instant::now();
    desk.write(&file.replace("\"0\"", "\"1\""));
    up.wait_for("requests go to web-00002; web-00001 ends");
    assert!(begun.elapsed() < PATIENCE);
    up.wait_for("web-00001-1 stopped");
    let (asked, lost) = clients.end();
    assert!(lost.is_empty(), "{} of {asked} lost: {lost:#?}", lost.len());
    ends(up);
}

#[test]
fn a_service_that_is_added_serves_and_one_that_is_removed_ends() {
    let desk = Desk::new(FILE);
    let mut up = desk.up(&[]);
    up.wait_for("api-00001-1 is ready");
    let at = address(&mut up);
    desk.write(&FILE.replace("[service.api]", "[service.new]"));
    up.wait_for("api is gone and ends");
    up.wait_for("new on http://new.localhost:");
    up.wait_for("api-00001-1 stopped");
    assert_eq!(get(&at, "new.localhost", "/").expect("it answers").0, 200);
    let (status, body) = get(&at, "api.localhost", "/").expect("it answers");
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("new.localhost is new"), "{body}");
    let output = ends(up);
    assert!(!output.contains("web-00001-1 drains"), "{output}");
}
