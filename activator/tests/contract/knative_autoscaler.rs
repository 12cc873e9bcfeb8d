//! A Knative autoscaler, as far as an activator can tell: a WebSocket that takes statistics.

use std::time::Duration;

use futures::StreamExt;
use prost::Message as _;
use tidegate_activator::Config;
use tidegate_proto::knative::{WireStatMessage, WireStatMessages};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::app::App;
use crate::client::get;
use crate::stage::{PATIENCE, close_whole, fixed, open};

struct Autoscaler(TcpListener);

impl Autoscaler {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn told_by(&self, config: Config) -> Config {
        let address = self.0.local_addr().unwrap().to_string().parse().unwrap();
        Config { knative_autoscaler: Some(address), name: "front".into(), ..config }
    }

    async fn accept(&self) -> Connection {
        let (stream, _) = tokio::time::timeout(PATIENCE, self.0.accept()).await.unwrap().unwrap();
        Connection(tokio_tungstenite::accept_async(stream).await.unwrap())
    }
}

struct Connection(WebSocketStream<TcpStream>);

impl Connection {
    /// The numbers of the next message that has some.
    async fn numbers(&mut self) -> Vec<WireStatMessage> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap();
            if let Message::Binary(bytes) = message.unwrap().unwrap() {
                return WireStatMessages::decode(bytes).unwrap().messages;
            }
        }
    }

    /// Reads until so many requests were counted in all.
    async fn until_counted(&mut self, wanted: f64, mut counted: f64) {
        while counted < wanted {
            let numbers = self.numbers().await;
            counted +=
                numbers.iter().flat_map(|of| &of.stat).map(|stat| stat.request_count).sum::<f64>();
        }
        assert_eq!(counted, wanted, "each request is counted once");
    }
}

#[tokio::test]
async fn a_request_that_waits_is_said_at_once_and_every_request_once() {
    let autoscaler = Autoscaler::start().await;
    let app = App::start(Duration::from_millis(200)).await;
    let (running, address) = open(autoscaler.told_by(fixed(&[(&app, 1)])));
    let mut connection = autoscaler.accept().await;
    let requests: Vec<_> =
        (0..3).map(|_| tokio::spawn(async move { get(address, "/", &[]).await })).collect();
    let first = connection.numbers().await.remove(0);
    let stat = first.stat.unwrap();
    assert_eq!((first.namespace.as_str(), first.name.as_str()), ("default", "web"));
    assert_eq!(stat.pod_name, "front");
    assert_eq!((stat.average_concurrent_requests, stat.request_count), (1.0, 1.0));
    connection.until_counted(3.0, 1.0).await;
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status, 200);
    }
    close_whole(running).await;
}

#[tokio::test]
async fn an_autoscaler_that_goes_is_found_again_and_no_request_waits_for_it() {
    let autoscaler = Autoscaler::start().await;
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(autoscaler.told_by(fixed(&[(&app, 0)])));
    drop(autoscaler.accept().await);
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    let mut connection = autoscaler.accept().await;
    // What came while nobody listened may be lost; what comes now is not.
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    let numbers = connection.numbers().await;
    assert!(numbers.iter().flat_map(|of| &of.stat).any(|stat| stat.request_count >= 1.0));
    close_whole(running).await;
}
