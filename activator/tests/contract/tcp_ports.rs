//! Ports whose connections are passed on as they are.

use std::net::{Ipv4Addr, SocketAddr};

use tidegate_proto::stats::v1::Stat;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::controller::Controller;
use crate::revision_ports::{free_port, until_open};
use crate::stage::{PATIENCE, close_whole, config, open};

const GREETING: &[u8] = b"220 ready\r\n";

/// An instance whose protocol is its own: it greets, and sends back what it gets, until its client
/// has ended.
async fn serve_greeting(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            let _ = write.write_all(GREETING).await;
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.write_all(b"bye").await;
        });
    }
}

async fn greeting_app() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_greeting(listener));
    address
}

fn is_of_db(stat: &Stat) -> bool {
    stat.revision.as_ref().is_some_and(|of| of.name == "db")
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

async fn read_some(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = vec![0; bytes];
    timeout(PATIENCE, stream.read_exact(&mut got)).await.expect("in time").unwrap();
    got
}

#[tokio::test]
async fn connections_wait_for_the_first_instance_which_may_speak_first() {
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("db", &[]);
    let port = free_port();
    controller.open_tcp("db", port, &[]);
    until_open(port).await;
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = TcpStream::connect(at(port)).await.unwrap();
        // Half of them speak first, and nothing of it may be lost.
        if n % 2 == 0 {
            client.write_all(b"SELECT 1").await.unwrap();
        }
        clients.push(client);
    }
    // That they wait is what wakes the revision.
    controller.stat(|stat| is_of_db(stat) && stat.waiting == 20 && stat.in_flight == 20).await;
    let app = greeting_app().await;
    controller.open_tcp("db", port, &[app]);
    for (n, mut client) in clients.into_iter().enumerate() {
        assert_eq!(read_some(&mut client, GREETING.len()).await, GREETING);
        if n % 2 == 0 {
            assert_eq!(read_some(&mut client, 8).await, b"SELECT 1");
        }
        // Its own direction ends, and what the instance still sends arrives.
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut rest)).await.expect("in time").unwrap();
        assert_eq!(rest, b"bye");
    }
    controller.stat(|stat| is_of_db(stat) && stat.waiting == 0 && stat.in_flight == 0).await;
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_refuses_is_passed_over_and_clients_that_leave_are_not_waited_for() {
    let controller = Controller::start().await;
    let (running, _) = open(config(Some(&controller)));
    controller.list("db", &[]);
    let port = free_port();
    controller.open_tcp("db", port, &[]);
    until_open(port).await;
    let waiting: Vec<TcpStream> = {
        let mut all = Vec::new();
        for _ in 0..5 {
            all.push(TcpStream::connect(at(port)).await.unwrap());
        }
        all
    };
    controller.stat(|stat| is_of_db(stat) && stat.waiting == 5).await;
    drop(waiting);
    // Reports of none were also sent before there were five.
    let mut seen = false;
    controller
        .stat(|stat| {
            seen |= is_of_db(stat) && stat.waiting == 5;
            seen && is_of_db(stat) && stat.waiting == 0
        })
        .await;
    let (dead, app) = (at(free_port()), greeting_app().await);
    controller.open_tcp("db", port, &[dead, app]);
    for _ in 0..10 {
        let mut client = TcpStream::connect(at(port)).await.unwrap();
        assert_eq!(read_some(&mut client, GREETING.len()).await, GREETING);
    }
    close_whole(running).await;
}

#[tokio::test]
async fn what_waits_too_long_is_reset_and_not_ended_in_order() {
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.dispatch.longest_wait = Some(std::time::Duration::from_millis(50));
    let (running, _) = open(config);
    controller.list("db", &[]);
    let port = free_port();
    controller.open_tcp("db", port, &[]);
    until_open(port).await;
    let mut client = TcpStream::connect(at(port)).await.unwrap();
    let end = timeout(PATIENCE, client.read(&mut [0])).await.expect("in time");
    assert_eq!(end.expect_err("it is reset").kind(), std::io::ErrorKind::ConnectionReset);
    close_whole(running).await;
}
