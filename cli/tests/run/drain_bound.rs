//! `--drain 2s` took half a minute: the activator kept to the time that was set, and then each
//! queue-proxy waited as long as its own grace period for a request whose client had left. Now what
//! is unfinished after the time that a person set is cut off, and told.

use std::io::Write;
use std::net::TcpStream;

use crate::running::Running;

/// A run with `--drain 1s` whose only instance works for longer than this test, and its client.
fn busy() -> (Running, TcpStream) {
    let script = r#"exec "$0" demo --app --service-time 600s --start-up 0ms"#;
    let ours = env!("CARGO_BIN_EXE_tidegate");
    let flags = ["--listen", "0", "-c", "1", "--drain", "1s", "--", "sh", "-c", script, ours];
    let mut run = Running::start(flags.map(str::to_owned).into());
    run.wait_for("is ready");
    let mut client = TcpStream::connect(run.address()).expect("it listens");
    write!(client, "GET / HTTP/1.1\r\nHost: app\r\n\r\n").expect("it reads");
    run.wait_for_request();
    (run, client)
}

#[test]
fn a_request_whose_client_left_has_no_more_time_than_was_set() {
    for signal in ["INT", "TERM"] {
        let (mut run, client) = busy();
        drop(client);
        run.signal(signal);
        run.wait_for("1 request whose client left is unfinished after 1s and cut off");
        assert_eq!(run.wait_for_exit(), Some(0), "nobody lost a response");
        assert!(run.descendants().is_empty());
    }
}

#[test]
fn a_request_whose_client_waits_has_no_more_time_than_was_set() {
    let (mut run, _client) = busy();
    run.signal("INT");
    run.wait_for("1 connection is unfinished after 1s and cut off");
    assert_eq!(run.wait_for_exit(), Some(1), "a client lost its response");
    assert!(run.descendants().is_empty());
}
