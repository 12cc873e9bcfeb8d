//! What a queue-proxy cannot see: a command that says that an app is ready, a line that it writes.

use crate::{Desk, address, get};

/// An app that listens at once, answers, and says that it is ready once a file is there.
const SLOW: &str = r#"import http.server, os, threading, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"early" if not os.path.exists("go") else b"ready"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
port = int(os.environ["PORT"])
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), H)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("listening on", port, flush=True)
while not os.path.exists("go"): time.sleep(0.02)
print("\x1b[32mready\x1b[0m to accept", "connections on", port, flush=True)
threading.Event().wait()
"#;

/// A request that comes before the app is ready waits; `told` is why it is not ready.
fn waits_until_it_is_ready(ready: &str, told: &str) {
    let file = format!("[service.web]\ncommand = [\"python3\", \"slow.py\"]\nready = {ready}\n");
    let desk = Desk::new(&file);
    std::fs::write(desk.path("slow.py"), SLOW).expect("written");
    let mut up = desk.up(&[]);
    let at = address(&mut up);
    let client = std::thread::spawn(move || get(&at, "web.localhost", "/").expect("an answer"));
    up.wait_for("listening on");
    // Long after its port is open.
    up.wait_for(told);
    assert!(!up.output().contains("web-00001-1 is ready"), "{}", up.output());
    assert!(!client.is_finished(), "nothing has been answered");
    std::fs::write(desk.path("go"), "").expect("written");
    up.wait_for("web-00001-1 is ready");
    assert_eq!(client.join().expect("it ends"), (200, "ready".to_owned()));
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
    assert!(up.descendants().is_empty());
}

#[test]
fn requests_wait_until_a_command_ends_well() {
    let command = r#"{ exec = "test -e go || { echo no file for {PORT} >&2; exit 3; }" }"#;
    waits_until_it_is_ready(command, "ended with exit status: 3: no file for ");
}

#[test]
fn requests_wait_until_a_line_is_written_whatever_its_colours() {
    let line = r#"{ log = "ready * connections on {PORT}" }"#;
    waits_until_it_is_ready(line, "it has written no line with \"ready * connections on ");
}

/// Who comes after others is started once they are ready, and not once their port is open.
#[test]
fn services_come_in_their_order_by_what_each_calls_ready() {
    let desk = Desk::new(
        "[service.web]\ncommand = APP\nafter = [\"api\"]\n\
         [service.api]\ncommand = APP\nafter = [\"db\"]\n\
         ready = { exec = [\"test\", \"-e\", \"go\"] }\n\
         [service.db]\ncommand = [\"python3\", \"slow.py\"]\nready = { log = \"ready to\" }\n",
    );
    std::fs::write(desk.path("slow.py"), SLOW).expect("written");
    let mut up = desk.up(&[]);
    let at = address(&mut up);
    let client = std::thread::spawn(move || get(&at, "web.localhost", "/").expect("an answer").0);
    up.wait_for("listening on");
    assert!(!up.output().contains("api-00001-1 starts"), "{}", up.output());
    std::fs::write(desk.path("go"), "").expect("written");
    assert_eq!(client.join().expect("it ends"), 200);
    let output = up.output();
    let at = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text:?} in {output}"));
    assert!(at("db-00001-1 is ready") < at("api-00001-1 starts"), "{output}");
    assert!(at("api-00001-1 is ready") < at("web-00001-1 starts"), "{output}");
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}

/// Nobody waits for what cannot come; and when it can, everything comes.
#[test]
fn who_comes_after_one_that_cannot_be_served_says_so() {
    let file =
        "[service.web]\ncommand = APP\nafter = [\"db\"]\n[service.db]\ncommand = \"exit 3\"\n";
    let desk = Desk::new(file);
    let mut up = desk.up(&[]);
    let at = address(&mut up);
    up.wait_for("web waits: it comes after db, which cannot be served");
    let mut answer = (0, String::new());
    crate::running::wait_until("it answers why", || {
        answer = get(&at, "web.localhost", "/").expect("an answer");
        answer.0 == 503
    });
    assert!(answer.1.contains("it comes after db, which cannot be served"), "{answer:?}");
    desk.write(&file.replace("\"exit 3\"", "APP"));
    up.wait_for("web-00001-1 is ready");
    crate::running::wait_until("it serves", || {
        get(&at, "web.localhost", "/").expect("an answer").0 == 200
    });
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}
