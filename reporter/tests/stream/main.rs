//! What a controller sees of a reporter whose streams are cut, refused and restored.

mod fake_controller;

use std::time::Duration;

use fake_controller::{FakeController, Fault};
use tidegate_proto::stats::v1::{
    Directive, Endpoint, Endpoints, Hello, InstanceStart, Revision, RevisionInstances, Role, Stat,
};
use tidegate_reporter::{Backoff, Config, Credentials, Inbox, Link, Reporter, RevisionName};
use tokio::task::JoinHandle;

fn hello() -> Hello {
    Hello { role: Role::QueueProxy.into(), instance: "web-1".into(), ..Hello::default() }
}

fn at(second: i64) -> Stat {
    Stat { period_start_unix_ms: second * 1_000, request_count: 1, ..Stat::default() }
}

fn start(address: &str) -> (Reporter, Inbox, JoinHandle<()>) {
    let mut config =
        Config::new(address, &Credentials::default(), hello()).expect("a good address");
    config.backoff = Backoff {
        initial: Duration::from_millis(1),
        longest: Duration::from_millis(5),
        ..Backoff::default()
    };
    let (reporter, inbox, driver) = tidegate_reporter::start(config);
    (reporter, inbox, tokio::spawn(driver.run()))
}

async fn up(inbox: &mut Inbox) {
    inbox.link.wait_for(|link| *link == Link::Up).await.expect("the driver lives");
}

#[tokio::test]
async fn it_sends_its_hello_and_each_stat_once() {
    let controller = FakeController::start().await;
    let (reporter, mut inbox, driver) = start(&controller.address());
    up(&mut inbox).await;
    // Fewer seconds than are kept: what is older than the window is not worth sending.
    for second in 0..50 {
        reporter.report(at(second));
    }
    controller.wait_for_stats(50).await;
    let seen = controller.seen();
    assert_eq!(seen.hellos.len(), 1);
    assert_eq!(seen.hellos[0].protocol_version, tidegate_proto::PROTOCOL_VERSION);
    assert_eq!(seen.hellos[0].instance, "web-1");
    assert_eq!(seen.in_order, (1..=50).collect::<Vec<u64>>());
    drop(reporter);
    driver.await.expect("it ends when the last reporter is gone");
}

#[tokio::test]
async fn with_no_controller_it_remembers_and_never_waits() {
    let address = tidegate_reserved_port::reserve().expect("a port");
    let (reporter, mut inbox, _driver) = start(&address.to_string());
    for second in 0..1_000 {
        reporter.report(at(second));
    }
    assert_eq!(*inbox.link.borrow(), Link::Down);
    let controller = FakeController::start_at(address).await;
    up(&mut inbox).await;
    reporter.report(at(1_000));
    // A minute is kept by default: seconds 940 to 999 as history, then the new one.
    controller.wait_for_sequence(1_001).await;
    let seen = controller.seen();
    assert_eq!(seen.in_order.first(), Some(&940));
    assert!(seen.in_order.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap");
}

#[tokio::test]
async fn cut_streams_lose_nothing() {
    const STATS: u64 = 2_000;
    let controller = FakeController::start().await;
    controller.begin_with(Directive { history_seconds: 3_600, ..Directive::default() });
    let (reporter, _inbox, _driver) = start(&controller.address());
    for second in 0..STATS {
        reporter.report(at(i64::try_from(second).expect("small")));
        if second % 50 == 49 {
            // Some are cut in the middle of a message, some between two, some at once.
            controller.wait_for_sequence(second.saturating_sub(20)).await;
            controller.fault(Fault::CutEveryStream);
        }
    }
    controller.wait_for_sequence(STATS).await;
    let seen = controller.seen();
    assert!(seen.hellos.len() >= 20, "only {} connections", seen.hellos.len());
    let missing: Vec<u64> = (1..=STATS).filter(|n| !seen.distinct.contains(n)).collect();
    assert!(missing.is_empty(), "lost {missing:?}");
}

#[tokio::test]
async fn a_restarted_controller_gets_as_many_seconds_as_it_asks_for() {
    let first = FakeController::start().await;
    first.begin_with(Directive { history_seconds: 30, ..Directive::default() });
    let address = first.socket_address();
    let (reporter, mut inbox, _driver) = start(&first.address());
    for second in 0..100 {
        reporter.report(at(second));
    }
    first.wait_for_sequence(100).await;
    first.stop().await;
    inbox.link.wait_for(|link| *link == Link::Down).await.expect("the driver lives");
    reporter.report(at(100));
    let second = FakeController::start_at(address).await;
    second.begin_with(Directive { history_seconds: 10, ..Directive::default() });
    second.wait_for_sequence(101).await;
    assert_eq!(second.seen().in_order, (91..=101).collect::<Vec<u64>>());
}

#[tokio::test]
async fn directives_and_endpoints_reach_the_owner_newest_first() {
    let controller = FakeController::start().await;
    let (_reporter, mut inbox, _driver) = start(&controller.address());
    up(&mut inbox).await;
    controller.send_directive(Directive { report_interval_ms: 500, ..Directive::default() });
    controller.send_directive(Directive { limit: Some(0), ..Directive::default() });
    controller.send_directive(Directive { drain: true, ..Directive::default() });
    controller.send_directive(Directive::default());
    let directives =
        *inbox.directives.wait_for(|directives| directives.drain).await.expect("the driver lives");
    assert_eq!(directives.report_interval_ms, Some(500));
    assert_eq!(directives.limit, Some(0));

    let revision = Revision { namespace: "default".into(), name: "web".into() };
    let endpoint = Endpoint { instance: "web-1".into(), address: "127.0.0.1:1".into(), limit: 2 };
    controller.send_endpoints(Endpoints {
        revision: Some(revision.clone()),
        endpoints: vec![endpoint],
        starts: vec![InstanceStart { instance: "web-1".into(), ..InstanceStart::default() }],
        ..Endpoints::default()
    });
    let name = RevisionName::from(revision.clone());
    let _ =
        inbox.endpoints.wait_for(|map| map.get(&name).is_some_and(|list| list.len() == 1)).await;
    assert!(inbox.starts.borrow()[&name].contains_key("web-1"));
    // A cut stream revokes nothing: requests still flow to what was known.
    controller.fault(Fault::CutEveryStream);
    inbox.link.wait_for(|link| *link == Link::Down).await.expect("the driver lives");
    assert_eq!(inbox.endpoints.borrow()[&name][0].limit, 2);
    up(&mut inbox).await;
    // A controller that has just started learns of it.
    let known = RevisionInstances { revision: Some(revision.clone()), instances: 1 };
    controller.wait(|seen| seen.known == [known.clone()]).await;
    let none = Endpoints { revision: Some(revision), ..Endpoints::default() };
    controller.send_endpoints(none);
    inbox.endpoints.wait_for(|map| map[&name].is_empty()).await.expect("the driver lives");
    assert!(inbox.starts.borrow().is_empty());
}

#[tokio::test]
async fn a_peer_that_is_no_controller_is_tried_again() {
    use tokio::io::AsyncWriteExt;
    let address = tidegate_reserved_port::reserve().expect("a port");
    let listener = tokio::net::TcpListener::bind(address).await.expect("it is ours");
    let (reporter, inbox, _driver) = start(&address.to_string());
    reporter.report(at(0));
    for _ in 0..5 {
        let (mut stream, _) = listener.accept().await.expect("it comes back");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    }
    assert_eq!(*inbox.link.borrow(), Link::Down);
    drop(listener);
    let controller = FakeController::start_at(address).await;
    controller.wait_for_sequence(1).await;
}

#[tokio::test]
async fn the_last_report_is_still_delivered() {
    let controller = FakeController::start().await;
    let (reporter, mut inbox, driver) = start(&controller.address());
    up(&mut inbox).await;
    for second in 0..50 {
        reporter.report(Stat { draining: true, ..at(second) });
    }
    drop(reporter);
    driver.await.expect("it ends");
    assert!(controller.seen().distinct.contains(&50));
}

/// Of several addresses one at a time has a controller: who finds none at one looks at the next at
/// once, and stays with what it found.
#[tokio::test]
async fn the_next_address_is_tried_when_a_controller_is_gone() {
    let free = tidegate_reserved_port::reserve().expect("a port");
    let first = FakeController::start().await;
    let addresses = format!("{free},{}", first.address());
    let (reporter, mut inbox, _driver) = start(&addresses);
    up(&mut inbox).await;
    reporter.report(at(1));
    first.wait_for_stats(1).await;
    drop(first);
    let second = FakeController::start_at(free).await;
    reporter.report(at(2));
    second.wait_for_sequence(2).await;
    assert_eq!(second.seen().in_order, [1, 2], "the whole past goes to the next one");
}
