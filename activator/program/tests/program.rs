//! The program as an image runs it: its own words, a request through it, and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn activator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_activator"));
    // What the machine has set for others is nothing to it.
    command.env_clear();
    command
}

fn ended(arguments: &[&str]) -> Output {
    activator().args(arguments).output().expect("it can be started")
}

/// An app that answers one request.
fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut read = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while read.read_line(&mut line)? > 2 {
            line.clear();
        }
        stream.write_all(ANSWER)
    });
    address
}

/// Starts it, and reads where it listens from what it says.
fn started(arguments: &[&str]) -> (Child, SocketAddr) {
    let mut command = activator();
    let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().expect("started");
    let told = BufReader::new(child.stderr.take().expect("piped"));
    let said = told.lines().next().expect("a line").expect("text");
    let address = said.strip_prefix("activator: listening on ").expect("where").to_owned();
    (child, address.parse().expect("an address"))
}

#[test]
fn a_request_goes_through_and_the_end_is_in_good_order() {
    let endpoint = format!("default/web={},1", app());
    let arguments =
        ["--listen", "127.0.0.1:0", "--endpoint", &endpoint, "--default-revision", "default/web"];
    let (mut child, address) = started(&arguments);
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello"), "{answer}");
    let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_cannot_be_used_is_refused_under_its_own_name() {
    let wrong = ended(&["--routes", "/nowhere/routes.toml"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).expect("text");
    assert!(said.starts_with("activator: cannot read the routes in /nowhere"), "{said}");
    let unknown = ended(&["--lisen", "127.0.0.1:0"]);
    assert_eq!(unknown.status.code(), Some(2));
    let version = ended(&["--version"]);
    assert_eq!(version.stdout, format!("activator {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}
