//! What must not run twice: apps with a port of their own, revisions that replace one another.

use crate::operated::Bench;
use crate::reload::Clients;
use crate::{Desk, address, free_port, get};

/// An app that ends where another one of it runs, listens on the port that it is built for, and
/// says which version it is.
const ALONE: &str = r#"import fcntl, http.server, os, sys
lock = open("lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("two at a time", flush=True)
    sys.exit(1)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
port = int(os.environ.get("OWN_PORT", os.environ["PORT"]))
http.server.ThreadingHTTPServer(("127.0.0.1", port), H).serve_forever()
"#;

/// Changes of the file while clients ask.
const CHANGES: u32 = 4;

fn file(more: &str) -> String {
    format!(
        "[service.web]\ncommand = [\"python3\", \"alone.py\"]\n{more}\n\
         [service.web.environment]\nVERSION = \"0\"\n"
    )
}

/// Changes what runs while clients ask: each waits for the next revision, and nothing is lost.
fn nothing_is_lost_and_one_runs_at_a_time(more: &str) {
    let file = file(more);
    let desk = Desk::new(&file);
    std::fs::write(desk.path("alone.py"), ALONE).expect("written");
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    let at = address(&mut up);
    let clients = Clients::start(&at, "web.localhost");
    for change in 1..=CHANGES {
        clients.wait_for_some();
        desk.write(&file.replace("\"0\"", &format!("\"{change}\"")));
        up.wait_for(&format!("web-{:05}-1 is ready", change + 1));
        crate::running::wait_until("the new one answers", || {
            get(&at, "web.localhost", "/").is_ok_and(|(_, body)| body == change.to_string())
        });
    }
    let (asked, lost) = clients.end();
    println!("{CHANGES} revisions one after the other, {asked} requests, {} lost", lost.len());
    assert!(lost.is_empty(), "{lost:#?} of {asked}\n{}", up.output());
    assert!(!up.output().contains("two at a time"), "{}", up.output());
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
    assert!(up.descendants().is_empty());
}

#[test]
fn a_revision_that_replaces_begins_when_the_one_before_it_has_ended() {
    nothing_is_lost_and_one_runs_at_a_time("max = 1\nrollout = \"replace\"");
}

#[test]
fn an_app_with_a_port_of_its_own_is_one_at_a_time_over_changes() {
    let port = free_port();
    nothing_is_lost_and_one_runs_at_a_time(&format!("port = {port}\nready = \"/\""));
}

/// It is told its port as any other, and may ignore that; `scale` cannot have two of it.
#[test]
fn an_app_with_a_port_of_its_own_is_restarted_without_a_second_one() {
    let port = free_port();
    let file = file(&format!("port = {port}")) + &format!("OWN_PORT = \"{port}\"\n");
    let mut bench = Bench::with_files(&file, &[("alone.py", ALONE)]);
    bench.up.wait_for("web-00001-1 is ready");
    let at = address(&mut bench.up);
    let clients = Clients::start(&at, "web.localhost");
    let said = bench.says("restart web");
    assert!(said.contains("web-00001 restarts 1 instance"), "{said}");
    assert!(said.trim_end().ends_with("web-00001 has restarted"), "{said}");
    bench.up.wait_for("web-00001-2 is ready");
    bench.says("scale web 3");
    clients.wait_for_some();
    let (asked, lost) = clients.end();
    assert!(lost.is_empty(), "{lost:#?} of {asked}\n{}", bench.up.output());
    let output = bench.up.output();
    assert!(!output.contains("two at a time") && !output.contains("web-00001-3"), "{output}");
    bench.says("stop --all");
    assert_eq!(bench.up.wait_for_exit(), Some(0), "{}", bench.up.output());
}

#[test]
fn a_port_that_another_program_has_is_named() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("an address").port();
    let desk = Desk::new(&format!("[service.web]\ncommand = APP\nport = {port}\n"));
    let mut up = desk.up(&[]);
    up.wait_for("web cannot be served: ");
    assert!(up.output().contains(&format!("another program listens on port {port}")));
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}
