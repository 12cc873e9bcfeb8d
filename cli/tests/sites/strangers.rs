//! Who may not call.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Process;
use crate::stage::{SECRET, Stage, is_now, revision};

impl Stage {
    /// A controller that calls as a site, with a secret of a file.
    fn caller(&self, site: &str, secret: &str) -> Process {
        let (view, secret) = (self.calls.to_string(), self.path(secret));
        let call = ["--call", &view, "--call-as", site, "--call-secret-file", &secret];
        Process::controller(&[&["--revision", "evil/twin"], call.as_slice()].concat()).0
    }
}

#[test]
fn a_stranger_gets_no_name() {
    let stage = Stage::new();
    let (_paris, section) = stage.paris();
    stage.sites(&section);
    let mut view = stage.view(&[]);
    let mut others = [
        // Another secret; the secret of another name; a name that is dialled; one nobody knows.
        stage.caller("edge", "other.secret"),
        stage.caller("edge", "paris.secret"),
        stage.caller("paris", "paris.secret"),
        stage.caller("rome", "edge.secret"),
    ];
    for other in &mut others {
        let told = other.wait_for("the view cannot be called");
        assert!(told.contains("no site of this name and secret may call"), "{told}");
    }
    let logged = view.wait_for("a call was refused");
    assert!(logged.contains("it calls as the site"), "{logged}");
    let listed = stage.listed_when(|all| is_now(all, "paris", "web"));
    assert!(revision(&listed, "edge", "twin").is_none(), "{listed:#?}");
    assert!(!view.log().contains("a-secret-of"), "no secret is logged");
}

#[test]
fn a_name_in_use_is_not_taken_over() {
    let stage = Stage::new();
    stage.sites("");
    let _view = stage.view(&[]);
    let edge = stage.edge(stage.calls, &[]);
    stage.listed_when(|all| is_now(all, "edge", "cart"));
    let mut twin = stage.caller("edge", "edge.secret");
    let told = twin.wait_for("the view cannot be called");
    assert!(told.contains("another process calls as this site"), "{told}");
    assert!(is_now(&stage.listed(), "edge", "cart"));
    drop(edge);
    // The name is free then, and whoever has its secret may have it.
    stage.listed_when(|all| is_now(all, "edge", "twin"));
}

/// What the port of calls answers to bytes.
fn said(stage: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stage.calls).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    // It may have hung up on us before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_no_call_is_refused_and_harms_nobody() {
    let stage = Stage::new();
    stage.sites("");
    let _view = stage.view(&[]);
    let _edge = stage.edge(stage.calls, &[]);
    stage.listed_when(|all| is_now(all, "edge", "cart"));
    let call = |headers: &str| {
        format!(
            "GET /tidegate/call HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
             upgrade: tidegate-call/1\r\n{headers}\r\n"
        )
    };
    let process = format!("tidegate-process: {}\r\n", "0".repeat(32));
    let good = format!("authorization: Bearer {SECRET}\r\n");
    let refused: [(String, &str); 9] = [
        ("GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "404"),
        ("POST /tidegate/call HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        (call(""), "403"),
        (call(&format!("tidegate-site: edge\r\n{process}")), "403"),
        (call(&format!("tidegate-site: edge\r\n{good}")), "403"),
        (call(&format!("tidegate-site: <script>\r\n{good}{process}")), "403"),
        // Which of two counts must not be a guess.
        (call(&format!("tidegate-site: edge\r\ntidegate-site: edge\r\n{good}{process}")), "403"),
        (call(&format!("tidegate-site: edge\r\n{good}{good}{process}")), "403"),
        (call(&format!("tidegate-site: edge\r\n{good}{process}")), "409"),
    ];
    for (request, status) in refused {
        let answer = said(&stage, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}\n{answer}");
    }
    for garbage in [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![22, 3, 1, 2, 0, 1],
        [b"GET /".to_vec(), vec![b'x'; 1 << 20]].concat(),
        call(&format!("x: {}\r\n", "y".repeat(1 << 20))).into_bytes(),
        call(&"x: y\r\n".repeat(500)).into_bytes(),
    ] {
        assert!(!said(&stage, &garbage).contains(" 101 "));
    }
    assert!(is_now(&stage.listed(), "edge", "cart"), "it goes on");
}
