//! A role that is told so by the environment pushes its metrics, and once more at its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::stage::Role;

/// How long anything may take that has to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A collector that takes everything; the heads of its requests, each with the length of its body.
fn collector() -> (String, Receiver<(String, usize)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (told, heard) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if told.send(taken(stream)).is_err() {
                return;
            }
        }
    });
    (address, heard)
}

fn taken(stream: TcpStream) -> (String, usize) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    reader.read_exact(&mut vec![0; length]).unwrap();
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    (head, length)
}

#[test]
fn a_role_pushes_until_its_end() {
    let (address, heard) = collector();
    let role = Role::controller_pushing(&address);
    let (head, length) = heard.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("post /v1/metrics http/1.1\r\n"), "{head}");
    for header in ["content-encoding: gzip", "authorization: bearer s3cret"] {
        assert!(head.contains(header), "{head}");
    }
    assert!(length > 500, "{length} bytes for everything");
    assert!(!role.page().contains("s3cret"));
    // The processor time rises at every reading, so that there is always something to say.
    heard.recv_timeout(PATIENCE).unwrap();
    role.terminate();
    while heard.recv_timeout(Duration::from_secs(3)).is_ok() {}
}
