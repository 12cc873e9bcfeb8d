//! An instance on a node that is gone neither accepts connections nor refuses them. Requests that
//! were sent to it waited for twenty seconds, although others had room, and half a second later the
//! next ones were sent there. Now each request waits for one short timeout at most, and no request
//! is sent to the silent instance until it accepts a connection again.
//!
//! A listener whose queue of connections is full is as silent as a dead node.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_activator::{Config, Endpoint};

use crate::app::App;
use crate::client::get;
use crate::stage::{close_whole, config, open, status, until, web};

/// A listener that neither accepts nor refuses connections.
struct Silent {
    listener: socket2::Socket,
    address: SocketAddr,
    /// What fills its queue.
    _queue: Vec<socket2::Socket>,
}

impl Silent {
    fn new() -> Self {
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = socket().unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let queue = (0..4).map(|_| {
            let waiting = socket().unwrap();
            waiting.set_nonblocking(true).unwrap();
            // The first ones fill the queue; the others never finish connecting.
            let _ = waiting.connect(&address);
            waiting
        });
        let queue = queue.collect();
        Self { listener, address: address.as_socket().unwrap(), _queue: queue }
    }

    /// Serves every connection from now on.
    fn wake_up(self) {
        let listener: std::net::TcpListener = self.listener.into();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        drop(self._queue);
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    if let Ok(1..) = stream.read(&mut head).await {
                        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nawake";
                        let _ = stream.write_all(response).await;
                    }
                });
            }
        });
    }
}

fn instances(addresses: &[SocketAddr]) -> Config {
    let endpoints = addresses.iter().enumerate().map(|(nth, address)| {
        let address = address.to_string();
        (web(), Endpoint { instance: format!("web-{nth}"), address, limit: 4 })
    });
    let mut config = Config { endpoints: endpoints.collect(), ..config(None) };
    // Far above a short timeout, far below the twenty seconds that it was.
    config.limits.response_start = Some(Duration::from_secs(8));
    config
}

#[tokio::test]
async fn the_next_instance_takes_the_request_after_one_short_timeout() {
    let silent = Silent::new();
    let apps = [App::start(Duration::ZERO).await, App::start(Duration::ZERO).await];
    let (running, address) = open(instances(&[silent.address, apps[0].address, apps[1].address]));
    for _ in 0..100 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    assert_eq!((status(&running).ready, status(&running).failed), (2, 0), "it is out");
    close_whole(running).await;
}

#[tokio::test]
async fn requests_wait_when_the_only_instance_is_silent() {
    let silent = Silent::new();
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(instances(&[silent.address]));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    until(&running, |status| status.ready == 0 && status.waiting == 1).await;
    let instance = |name: &str, address: SocketAddr| Endpoint {
        instance: name.into(),
        address: address.to_string(),
        limit: 4,
    };
    let throttler = running.throttler().all().remove(0);
    throttler.set_endpoints(&[instance("web-0", silent.address), instance("web-1", app.address)]);
    assert_eq!(waiting.await.unwrap().unwrap().status, 200);
    assert_eq!(app.served(), 1);
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_responds_again_is_used_again() {
    let silent = Silent::new();
    let (running, address) = open(instances(&[silent.address]));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    until(&running, |status| status.ready == 0 && status.waiting == 1).await;
    silent.wake_up();
    assert_eq!(waiting.await.unwrap().unwrap().body, "awake");
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_begins_to_listen_gets_requests_at_once() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let late = reserved.local_addr().unwrap();
    drop(reserved);
    let (running, address) = open(instances(&[late]));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    until(&running, |status| status.ready == 0 && status.waiting == 1).await;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&late.into()).unwrap();
    socket.listen(64).unwrap();
    Silent { listener: socket, address: late, _queue: Vec::new() }.wake_up();
    assert_eq!(waiting.await.unwrap().unwrap().body, "awake");
    close_whole(running).await;
}
