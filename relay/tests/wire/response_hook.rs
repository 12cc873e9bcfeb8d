//! What a handler may add to an app's response, and when it learns that there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_relay::http::HeaderValue;
use tidegate_relay::{
    Address, ConnectPatience, Drain, Exchange, Forward, Handler, ServerSettings, TimeLimits,
    Upstream, UpstreamSettings,
};
use tokio::net::TcpStream;

use crate::harness::{App, Wire, closed_port, field};
use crate::sockets::{forward, run_server};

/// Adds a field to each response of the app, and counts how often it did.
struct Adding {
    upstream: Upstream,
    added: Arc<AtomicUsize>,
}

impl Handler for Adding {
    async fn handle(&self, exchange: &mut Exchange) {
        let added = Arc::clone(&self.added);
        exchange.on_response(Box::new(|_| panic!("it was replaced")));
        exchange.on_response(Box::new(move |fields| {
            added.fetch_add(1, Ordering::SeqCst);
            fields.append("server-timing", HeaderValue::from_static("ours;dur=1"));
        }));
        let (limits, connect) = (TimeLimits::default(), ConnectPatience::default());
        forward(exchange, &self.upstream, Forward { limits, connect, guard: () }).await;
    }
}

async fn ask(app: std::net::SocketAddr) -> (String, usize) {
    let upstream = Upstream::new(Address::Tcp(app), UpstreamSettings::default());
    let added = Arc::new(AtomicUsize::new(0));
    let handler = Adding { upstream, added: Arc::clone(&added) };
    let address = run_server(handler, ServerSettings::default(), Drain::new()).await;
    let mut client = Wire::new(TcpStream::connect(address).await.expect("it listens"));
    client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    (client.rest().await, added.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_field_is_added_to_the_final_head_beside_the_apps() {
    let (app, _) = App::responding(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n\
         HTTP/1.1 200 OK\r\nServer-Timing: app;dur=2\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let (response, added) = ask(app.address).await;
    let (hint, last) = response.split_once("\r\n\r\n").expect("a hint is forwarded");
    assert_eq!((field(hint, "server-timing"), added), (None, 1), "{response}");
    let timings: Vec<&str> = last
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| name.eq_ignore_ascii_case("server-timing"))
        .map(|(_, value)| value)
        .collect();
    assert_eq!(timings, ["app;dur=2", "ours;dur=1"]);
}

#[tokio::test]
async fn a_response_of_the_relay_itself_is_none_of_the_apps() {
    let (response, added) = ask(closed_port()).await;
    assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
    assert_eq!(added, 0);
}
