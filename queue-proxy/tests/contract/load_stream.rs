//! The load as it changes, for whoever listens at the statistics port.

use prost::Message;
use tidegate_proto::stats::v1::Stat;
use tidegate_proto::{LOAD_CONTENT_TYPE, LOAD_PATH};

use crate::app::{App, Gate, eventually};
use crate::client::{Client, get, root};
use crate::sidecar::Sidecar;

/// What a sidecar keeps for those who listen.
const LISTENERS_MAX: usize = 8;

/// A stream.
struct Listener {
    client: Client,
}

impl Listener {
    fn open(sidecar: &Sidecar) -> Self {
        let mut client = Client::connect(sidecar.ports.stats);
        client.send(&format!("GET {LOAD_PATH} HTTP/1.1\r\nHost: h\r\n\r\n"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(LOAD_CONTENT_TYPE), "{head}");
        Self { client }
    }

    /// The next message, which is a chunk of its own; `None` at the end of the stream.
    fn next(&mut self) -> Option<Stat> {
        let chunk = self.client.chunk()?;
        Some(Stat::decode_length_delimited(&chunk[..]).unwrap())
    }

    /// The first message with so many requests inside.
    fn until(&mut self, in_flight: u32) -> Stat {
        std::iter::from_fn(|| self.next()).find(|load| load.in_flight == in_flight).unwrap()
    }
}

#[test]
fn a_queue_is_told_of_when_it_forms_and_when_it_has_grown() {
    let gate = Gate::default();
    let app = App::held(&gate);
    let sidecar = Sidecar::start(app.port, &[("CONTAINER_CONCURRENCY", "1")]);
    let mut listener = Listener::open(&sidecar);
    // Who has heard one message is known to the sidecar.
    let quiet = listener.next().unwrap();
    assert_eq!((quiet.in_flight, quiet.waiting, quiet.limit), (0, 0, 1));
    let mut clients: Vec<Client> = (0..9)
        .map(|_| {
            let mut client = Client::connect(sidecar.ports.main);
            client.send(&root(""));
            client
        })
        .collect();
    assert_eq!(listener.until(9).waiting, 8);
    gate.open(9);
    for client in &mut clients {
        assert_eq!(client.response().text(), "hello");
    }
    assert_eq!(listener.until(0).waiting, 0);
}

#[test]
fn there_is_room_for_some_and_it_is_given_back() {
    let sidecar = Sidecar::start(1, &[]);
    let listeners: Vec<Listener> = (0..LISTENERS_MAX).map(|_| Listener::open(&sidecar)).collect();
    let ask = || get(sidecar.ports.stats, &format!("GET {LOAD_PATH} HTTP/1.0\r\n\r\n")).status;
    assert_eq!(ask(), 503);
    drop(listeners);
    eventually("a place", || {
        let mut client = Client::connect(sidecar.ports.stats);
        client.send(&format!("GET {LOAD_PATH} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.head().starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn a_sidecar_that_drains_ends_the_stream() {
    let mut sidecar = Sidecar::start(1, &[]);
    let mut listener = Listener::open(&sidecar);
    listener.next().unwrap();
    sidecar.signal("TERM");
    while listener.next().is_some() {}
    assert!(sidecar.wait().success(), "no stream keeps it from ending");
}
