//! Instances and controllers that die.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_activator::CauseHeader;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{close_whole, config, fixed, open, status, until};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(1);

/// An address without a listener, ever.
fn nobody() -> SocketAddr {
    tidegate_reserved_port::reserve().unwrap()
}

#[tokio::test]
async fn a_crashed_instance_loses_only_its_own_requests() {
    let (doomed, other) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let (running, address) = open(fixed(&[(&doomed, 3), (&other, 3)]));
    let held: Vec<_> = (0..6).map(|_| tokio::spawn(get(address, "/gate", &[]))).collect();
    until(&running, |status| status.in_flight == 6).await;
    let waiting: Vec<_> = (0..20).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    until(&running, |status| status.waiting == 20).await;
    while doomed.seen.in_flight.load(std::sync::atomic::Ordering::SeqCst) < 3 {
        tokio::time::sleep(POLL_PERIOD).await;
    }
    assert_eq!(doomed.kill(), 3);
    other.seen.gate.add_permits(3);
    let mut lost = 0;
    for request in held {
        lost += u32::from(request.await.unwrap().is_none_or(|response| response.status != 200));
    }
    assert_eq!(lost, 3, "what it held, and nothing else");
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(status(&running).failed, 3);
    close_whole(running).await;
}

#[tokio::test]
async fn an_unsent_request_is_retried_on_the_next_instance() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let (dead, also_dead) = (nobody(), nobody());
    controller.list("web", &[("a", dead, 1), ("b", also_dead, 1), ("c", app.address, 1)]);
    until(&running, |status| status.ready == 3).await;
    for _ in 0..20 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    assert_eq!((app.served(), status(&running).failed), (20, 0));
    close_whole(running).await;
}

#[tokio::test]
async fn requests_wait_while_every_instance_is_dead() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let dead = nobody();
    controller.list("web", &[("a", dead, 0)]);
    until(&running, |status| status.ready == 1).await;
    let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    until(&running, |status| status.waiting == 5).await;
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("b", app.address, 1)]);
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap().status, 200);
    }
    close_whole(running).await;
}

#[tokio::test]
async fn requests_are_served_without_the_controller() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    controller.list("web", &[("a", app.address, 2)]);
    until(&running, |status| status.ready == 1).await;
    controller.kill().await;
    for _ in 0..20 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    let probe = ["User-Agent: kube-probe/1.34"];
    assert_eq!(get(address, "/", &probe).await.unwrap().status, 200, "ready all the same");
    close_whole(running).await;
}

#[tokio::test]
async fn a_drain_finishes_open_requests_and_accepts_no_new_ones() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let running_one = tokio::spawn(get(address, "/gate", &[]));
    until(&running, |status| status.in_flight == 1).await;
    let waiting_one = tokio::spawn(get(address, "/", &[]));
    until(&running, |status| status.waiting == 1).await;
    running.announce_shutdown();
    let probe = ["User-Agent: kube-probe/1.34"];
    assert_eq!(get(address, "/", &probe).await.unwrap().status, 503);
    let drain = tokio::spawn(close_whole(running));
    app.seen.gate.add_permits(1);
    assert_eq!(running_one.await.unwrap().unwrap().status, 200);
    assert_eq!(waiting_one.await.unwrap().unwrap().status, 200);
    drain.await.unwrap();
    assert!(get(address, "/", &[]).await.is_none(), "the listener is closed");
}

#[tokio::test]
async fn a_response_that_does_not_begin_in_time_is_a_504() {
    let app = App::start(Duration::ZERO).await;
    let mut config = fixed(&[(&app, 1)]);
    config.limits.response_start = Some(Duration::from_millis(50));
    let (running, address) = open(config);
    let sent = get(address, "/gate", &[]).await.unwrap();
    assert_eq!((sent.status, sent.body.as_str()), (504, "activator request timeout\n"));
    // The instance still works on it.
    assert_eq!((status(&running).in_flight, status(&running).abandoned), (1, 1));
    app.seen.gate.add_permits(1);
    close_whole(running).await;
}

/// Off by default, so that a client sees what Knative's activator would have sent it.
#[tokio::test]
async fn responses_carry_the_cause_header_where_it_is_enabled() {
    let app = App::start(Duration::ZERO).await;
    for shown in [CauseHeader::Hidden, CauseHeader::Shown] {
        let mut config = fixed(&[(&app, 1)]);
        config.default_revision = None;
        config.server.cause_header = shown;
        let (running, address) = open(config);
        let unknown = get(address, "/", &[]).await.unwrap();
        assert_eq!(unknown.status, 404);
        let told = unknown.has("tidegate-error: unknown_revision");
        assert_eq!(told, shown == CauseHeader::Shown, "{}", unknown.head);
        let malformed = get(address, "/ /", &[]).await.unwrap();
        assert_eq!(malformed.status, 400);
        let told = malformed.has("tidegate-error: malformed_request");
        assert_eq!(told, shown == CauseHeader::Shown, "{}", malformed.head);
        close_whole(running).await;
    }
}
