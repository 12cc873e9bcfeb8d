//! Instances that break off or fail: what is sent again, and who is left alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidegate_activator::{Config, Endpoint};
use tidegate_admission::OutlierSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::app::App;
use crate::client::{exchange, get};
use crate::stage::{close_whole, fixed, open, status, web};

/// An app that gives everybody the same.
pub(crate) struct Bad {
    address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Bad {
    /// Answers with `response` after `work`, and closes.
    pub(crate) async fn start(response: &'static str, work: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<AtomicU32>::default();
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    // Connections that only probe send nothing.
                    if let Ok(1..) = stream.read(&mut [0; 4096]).await {
                        count.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(work).await;
                        let _ = stream.write_all(response.as_bytes()).await;
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    /// It and good ones.
    pub(crate) fn beside(&self, apps: &[&App]) -> Config {
        let listed: Vec<_> = apps.iter().map(|app| (*app, 0)).collect();
        let mut config = fixed(&listed);
        let address = self.address.to_string();
        config.endpoints.push((web(), Endpoint { instance: "bad".into(), address, limit: 0 }));
        config
    }
}

const BREAKS_OFF: &str = "";
const FAILS: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
pub(crate) const RESPONDS: &str =
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

async fn send(address: SocketAddr, request: &str) -> u16 {
    let request = format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = exchange(address, request.as_bytes()).await;
    crate::client::Response::parse(&response).unwrap().status
}

#[tokio::test]
async fn what_is_harmless_is_sent_again_within_the_budget() {
    let good = App::start(Duration::ZERO).await;
    let bad = Bad::start(BREAKS_OFF, Duration::ZERO).await;
    let config = Config { retry_permille: 1_000, ..bad.beside(&[&good]) };
    let (running, address) = open(config);
    for method in ["GET", "DELETE", "POST"] {
        let before = bad.asked();
        let mut statuses = Vec::new();
        for _ in 0..10 {
            statuses.push(send(address, &format!("{method} / HTTP/1.1")).await);
        }
        assert!(bad.asked() > before, "{method} reaches both");
        let lost = statuses.iter().filter(|status| **status == 502).count();
        assert_eq!(lost > 0, method == "POST", "{method}: {statuses:?}");
    }
    // With a key the app knows a repetition.
    for _ in 0..10 {
        assert_eq!(send(address, "POST / HTTP/1.1\r\nIdempotency-Key: 7").await, 200);
    }
    close_whole(running).await;
}

#[tokio::test]
async fn nothing_is_sent_again_without_a_budget_and_no_more_than_it_allows() {
    let bad = Bad::start(BREAKS_OFF, Duration::ZERO).await;
    let (running, address) = open(bad.beside(&[]));
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 502);
    assert_eq!(bad.asked(), 1);
    close_whole(running).await;
    // Everything fails: of 100 requests a tenth is sent again, and what was saved.
    let bad = Bad::start(BREAKS_OFF, Duration::ZERO).await;
    let (running, address) = open(Config { retry_permille: 100, ..bad.beside(&[]) });
    for _ in 0..100 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 502);
    }
    assert_eq!(bad.asked(), 100 + 9 + 20, "what comes while nothing more can be saved is lost");
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_fails_is_left_alone_and_half_stay_in_use() {
    let good = App::start(Duration::ZERO).await;
    let bad = Bad::start(FAILS, Duration::ZERO).await;
    let outliers = OutlierSettings { failures: std::num::NonZero::new(3), times_median: None };
    let (running, address) = open(Config { outliers, ..bad.beside(&[&good]) });
    for _ in 0..50 {
        get(address, "/", &[]).await.unwrap();
    }
    assert_eq!((bad.asked(), good.served()), (3, 47));
    assert_eq!(status(&running).ready, 1);
    // The last one is never left alone.
    close_whole(running).await;
    let (running, address) = open(Config { outliers, ..bad.beside(&[]) });
    for _ in 0..10 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 500);
    }
    assert_eq!(status(&running).ready, 1);
    close_whole(running).await;
}

#[tokio::test]
async fn an_instance_that_is_slow_beside_the_others_is_left_alone() {
    let good = [App::start(Duration::ZERO).await, App::start(Duration::ZERO).await];
    // Well above three times what the others take, however busy the machine is.
    let slow = Bad::start(RESPONDS, Duration::from_millis(180)).await;
    let outliers = OutlierSettings { failures: None, times_median: std::num::NonZero::new(3) };
    let (running, address) = open(Config { outliers, ..slow.beside(&[&good[0], &good[1]]) });
    for _ in 0..150 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    assert_eq!(slow.asked(), 32, "as many as it takes to know");
    assert_eq!(status(&running).ready, 2);
    close_whole(running).await;
}
