//! Hosts, paths, shares, and addresses of services' own.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::{Desk, PATIENCE, address, free_port, get};

/// A server that answers every request with a word.
const SAYS: &str = r#"import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ["SAYS"] + " " + self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

#[test]
fn requests_go_by_host_path_and_shares() {
    let port = free_port();
    let file = format!(
        r#"
[service.web]
command = ["python3", "says.py"]
environment = {{ SAYS = "web" }}
[service.api]
command = ["python3", "says.py"]
environment = {{ SAYS = "api" }}
hosts = ["web.localhost", "api.localhost"]
path = "/api"
listen = {port}
[route.both]
hosts = ["both.localhost"]
split = {{ web = 50, api = 50 }}
"#
    );
    let desk = Desk::new(&file);
    std::fs::write(desk.path("says.py"), SAYS).expect("written");
    let mut up = desk.up(&[]);
    up.wait_for("web-00001-1 is ready");
    up.wait_for("api-00001-1 is ready");
    let at = address(&mut up);
    let body = |host: &str, path: &str| get(&at, host, path).expect("it answers").1;
    assert_eq!(body("web.localhost:8080", "/x"), "web /x");
    assert_eq!(body("web.localhost", "/api/x"), "api /api/x");
    assert_eq!(get(&at, "api.localhost", "/").expect("it answers").0, 404);
    // Who has an address of its own takes every host and path there.
    let own = format!("127.0.0.1:{port}");
    assert_eq!(get(&own, "anything", "/").expect("it answers").1, "api /");
    let both: Vec<String> = (0..100).map(|_| body("both.localhost", "/")).collect();
    for name in ["web /", "api /"] {
        let count = both.iter().filter(|body| *body == name).count();
        assert!((20..=80).contains(&count), "{count} of 100 are {name}");
    }
    // Another address, while it runs.
    let other = free_port();
    desk.write(&file.replace(&format!("listen = {port}"), &format!("listen = {other}")));
    up.wait_for("api: its routes");
    let moved = format!("127.0.0.1:{other}");
    crate::running::wait_until("the new address answers", || get(&moved, "x", "/").is_ok());
    assert!(TcpStream::connect(&own).is_err(), "the old address is free");
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
    assert!(up.descendants().is_empty());
}

/// A server that says a word to whoever connects, and echoes.
const ECHO: &str = r#"import os, socketserver
class H(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(os.environ["SAYS"].encode())
        while True:
            data = self.request.recv(100)
            if not data: return
            self.request.sendall(data)
class S(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
S(("127.0.0.1", int(os.environ["PORT"])), H).serve_forever()
"#;

#[test]
fn connections_of_another_protocol_are_passed_on_over_a_change() {
    let port = free_port();
    let file = format!(
        "[service.db]\ncommand = [\"python3\", \"echo.py\"]\nprotocol = \"tcp\"\nlisten = {port}\n\
         environment = {{ SAYS = \"1\" }}\n[service.web]\ncommand = APP\n"
    );
    let desk = Desk::new(&file);
    std::fs::write(desk.path("echo.py"), ECHO).expect("written");
    let mut up = desk.up(&[]);
    up.wait_for(&format!("db on tcp://127.0.0.1:{port}"));
    let connect = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut first = [0; 1];
        stream.read_exact(&mut first).expect("it speaks first");
        (stream, first[0])
    };
    let (mut held, first) = connect();
    assert_eq!(first, b'1');
    desk.write(&file.replace("\"1\"", "\"2\""));
    up.wait_for("requests go to db-00002");
    crate::running::wait_until("new connections reach the new one", || connect().1 == b'2');
    // The connection of before goes on where it was.
    held.write_all(b"x").expect("written");
    let mut echoed = [0; 1];
    held.read_exact(&mut echoed).expect("echoed");
    assert_eq!(echoed[0], b'x');
    drop(held);
    up.wait_for("db-00001-1 stopped");
    up.signal("INT");
    assert_eq!(up.wait_for_exit(), Some(0), "{}", up.output());
}
