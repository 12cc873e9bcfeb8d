//! Ports of an activator's own configuration whose connections are passed on as they are, and the
//! PROXY protocol on both of its sides.

use std::net::{Ipv4Addr, SocketAddr};

use tidegate_activator::{Announcement, Balancers, Config, Endpoint, TcpListen};
use tidegate_relay::proxy_protocol::{self, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::app::App;
use crate::client::exchange;
use crate::controller::Controller;
use crate::stage::{PATIENCE, close_whole, config, fixed, open, until, web};

const GREETING: &[u8] = b"220 ready\r\n";

/// An instance that greets, and sends back what it gets until its client has ended.
async fn greeting_app() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = write.write_all(GREETING).await;
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

/// An instance that wants to know whose each connection is, and keeps what it was told.
async fn asking_app() -> (SocketAddr, mpsc::UnboundedReceiver<Origin>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            told.send(proxy_protocol::receive(&mut stream).await.unwrap()).unwrap();
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    (address, seen)
}

fn port(announcement: Announcement) -> Vec<TcpListen> {
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    vec![TcpListen { address, revision: web(), announcement }]
}

fn endpoint(address: SocketAddr, limit: u32) -> Endpoint {
    Endpoint { instance: format!("web-{}", address.port()), address: address.to_string(), limit }
}

async fn read_some(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut got)).await.expect("in time").unwrap();
    got
}

#[tokio::test]
async fn a_connection_wakes_the_revision_and_counts_as_its_request() {
    let controller = Controller::start().await;
    let tcp_ports = port(Announcement::Nothing);
    let (running, _) = open(Config { tcp_ports, ..config(Some(&controller)) });
    let at = running.addresses().tcp[0];
    controller.list("web", &[]);
    let mut speaks = TcpStream::connect(at).await.unwrap();
    speaks.write_all(b"SELECT 1").await.unwrap();
    let mut listens = TcpStream::connect(at).await.unwrap();
    controller.stat(|stat| stat.waiting == 2 && stat.in_flight == 2).await;
    controller.list("web", &[("web-1", greeting_app().await, 1)]);
    // A limit holds for connections as it does for requests.
    until(&running, |status| status.waiting == 1 && status.in_flight == 1).await;
    assert_eq!(read_some(&mut speaks, GREETING.len()).await, GREETING);
    assert_eq!(read_some(&mut speaks, 8).await, b"SELECT 1");
    speaks.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, speaks.read_to_end(&mut rest)).await.expect("in time").unwrap();
    assert_eq!(read_some(&mut listens, GREETING.len()).await, GREETING);
    drop((speaks, listens));
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_is_told_whose_a_connection_is() {
    let (app, mut seen) = asking_app().await;
    let balancers = Balancers::parse(["127.0.0.0/8"]).unwrap();
    for (balancers, named) in [(Balancers::default(), None), (balancers, Some("192.0.2.7:1234"))] {
        let tcp_ports = port(Announcement::ProxyHeader);
        let mut config = Config { tcp_ports, balancers, ..config(None) };
        config.endpoints = vec![(web(), endpoint(app, 0))];
        let (running, _) = open(config);
        let at = running.addresses().tcp[0];
        let mut client = TcpStream::connect(at).await.unwrap();
        let mut expected = (client.local_addr().unwrap(), at);
        if let Some(source) = named {
            expected = (source.parse().unwrap(), "198.51.100.1:443".parse().unwrap());
            client.write_all(&proxy_protocol::header(expected.0, expected.1)).await.unwrap();
        }
        client.write_all(b"hello").await.unwrap();
        assert_eq!(read_some(&mut client, 5).await, b"hello", "and no byte of the header");
        let told = seen.recv().await.unwrap();
        assert_eq!(told, Origin::Client { source: expected.0, destination: expected.1 });
        drop(client);
        close_whole(running).await;
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Sends bytes and the end behind them, and returns what comes back.
async fn all_that_comes_back(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    // It may have been closed already.
    let _ = stream.shutdown().await;
    let mut response = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut response)).await.expect("in time");
    response
}

#[tokio::test]
async fn a_balancer_says_whose_a_request_is_and_nobody_else_can() {
    let app = App::start(std::time::Duration::ZERO).await;
    let header =
        proxy_protocol::header("192.0.2.7:1".parse().unwrap(), "192.0.2.8:2".parse().unwrap());
    let with_header = [&header, REQUEST].concat();
    let forwarded_for = || {
        let headers = app.seen.last_headers.lock().unwrap();
        headers["x-forwarded-for"].to_str().unwrap().to_owned()
    };
    let balancers = Balancers::parse(["127.0.0.1"]).unwrap();
    let (running, address) = open(Config { balancers, ..fixed(&[(&app, 0)]) });
    assert!(exchange(address, &with_header).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(forwarded_for(), "192.0.2.7");
    // A check of the balancer's own is its own.
    let local = [&header[..12], &[0x20, 0, 0, 0], REQUEST].concat();
    assert!(exchange(address, &local).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(forwarded_for(), "127.0.0.1");
    let served = app.served();
    for bad in [
        REQUEST,
        b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        &with_header[..20],
        &[&header[..12], &[0x21, 0x11, 0xff, 0xff], REQUEST].concat(),
        &[&header[..13], &[0x99, 0, 12], &header[16..], REQUEST].concat(),
        b"\x16\x03\x01\x02\x00",
    ] {
        assert_eq!(all_that_comes_back(address, bad).await, b"", "{bad:?}");
    }
    assert_eq!(app.served(), served);
    close_whole(running).await;

    // Of anybody else it is not read, and makes no request of theirs another client's.
    let balancers = Balancers::parse(["192.0.2.0/24", "::1"]).unwrap();
    let (running, address) = open(Config { balancers, ..fixed(&[(&app, 0)]) });
    let refused = exchange(address, &with_header).await;
    assert!(refused.starts_with(b"HTTP/1.1 400"), "{}", refused.escape_ascii());
    assert!(exchange(address, REQUEST).await.starts_with(b"HTTP/1.1 200"));
    assert_eq!(forwarded_for(), "127.0.0.1");
    close_whole(running).await;
}
