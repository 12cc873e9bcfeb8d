//! Ctrl-C waited in silence for half a minute when a client had left its request behind, and a
//! second signal had a code of its own in each role: 130 for `run`, 1 for the others.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use crate::running::{self, Running};

#[test]
fn what_the_shutdown_waits_for_is_printed() {
    // Asked for once, it works for longer than this test.
    let script = r#"exec "$0" demo --app --service-time 600s --start-up 0ms"#;
    let ours = env!("CARGO_BIN_EXE_tidegate");
    let arguments = ["--listen", "0", "-c", "1", "--", "sh", "-c", script, ours];
    let mut run = Running::start(arguments.map(str::to_owned).into());
    run.wait_for("is ready");
    let mut client = TcpStream::connect(run.address()).expect("it listens");
    write!(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n").expect("it reads");
    run.wait_for_request();
    run.signal("INT");
    run.wait_for("waiting for 1 request, at most 29 s more");
    drop(client);
    run.wait_for("waiting for 1 request whose client left, at most ");
    run.signal("TERM");
    assert_eq!(run.wait_for_exit(), Some(143));
    assert!(run.descendants().is_empty());
}

#[test]
fn a_second_signal_has_the_same_code_in_the_activator() {
    let mut activator = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["activator", "--listen", "127.0.0.1:0", "--endpoint", "a/b=127.0.0.1:1"])
        .args(["--lame-duck", "10m"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut said = BufReader::new(activator.stderr.take().expect("piped")).lines();
    let mut wait_for = |text: &str| {
        let line = said.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        assert!(line.is_some(), "it never said {text:?}");
    };
    wait_for("listening on");
    running::kill(activator.id(), "TERM");
    wait_for("told to end, draining");
    running::kill(activator.id(), "INT");
    assert_eq!(activator.wait().expect("it ends").code(), Some(130));
}
