//! A client that left while its request waited for an instance was counted nowhere: ten
//! such requests looked like ten that got a response. Each request is now counted as served, failed
//! or left.

use std::time::Duration;

use crate::app::App;
use crate::client::{exchange, get};
use crate::stage::{close_whole, fixed, open, until};

#[tokio::test]
async fn clients_that_leave_are_counted_in_the_queue_and_at_the_instance() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let at_instance = tokio::spawn(get(address, "/gate", &[]));
    until(&running, |status| status.in_flight == 1).await;
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    until(&running, |status| status.waiting == 10).await;
    for client in waiting {
        client.abort();
    }
    until(&running, |status| status.waiting == 0).await;
    at_instance.abort();
    until(&running, |status| status.abandoned_total == 1).await;
    app.seen.gate.add_permits(1);
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    let malformed =
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nK-Original-Host: a b\r\n\r\n";
    assert!(exchange(address, malformed).await.starts_with(b"HTTP/1.1 400"));
    let outcomes = running.outcomes().snapshot();
    assert_eq!((outcomes.left, outcomes.failures(), outcomes.app_errors), (11, 1, 0));
    close_whole(running).await;
}
