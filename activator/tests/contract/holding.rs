//! Requests that arrive while no instance is ready.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_activator::Config;
use tidegate_admission::DispatcherSettings;
use tidegate_reporter::RevisionName;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{PATIENCE, POLL_PERIOD, close_whole, config, fixed, open, status, until};

/// After how long a request that waits is given up: longer than the bound that is tried.
const GIVEN_UP: Duration = Duration::from_millis(500);

#[tokio::test]
async fn the_first_request_wakes_the_revision_and_is_served_when_an_instance_is_ready() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    // The report is sent because a queue formed, with all that the controller needs to scale up.
    controller.stat(|stat| stat.waiting == 1 && stat.in_flight == 1).await;
    assert!(!waiting.is_finished());
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1)]);
    let response = waiting.await.unwrap().unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "hello"));
    let headers = app.seen.last_headers.lock().unwrap().clone();
    assert_eq!(headers["k-proxy-request"], "activator");
    assert_eq!(headers["host"], "app.example");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    controller.stat(|stat| stat.waiting == 0 && stat.in_flight == 0).await;
    let hello = controller.received().hellos.remove(0);
    assert_eq!((hello.role, hello.protocol_version), (2, 1));
    let total: u64 = controller.received().stats.iter().map(|stat| stat.request_count).sum();
    assert_eq!(total, 1, "counted once, however many reports there were");
    assert_eq!(status(&running).cold_starts, 1);
    close_whole(running).await;
}

#[tokio::test]
async fn a_revision_that_is_none_any_more_is_forgotten_with_its_queue() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let api = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: api"];
    let known = || running.throttler().all().len();
    let until_known = async |count| {
        let waiting = async {
            while known() != count {
                tokio::time::sleep(POLL_PERIOD).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("in time");
    };
    // One of its own, one that the controller names.
    controller.list("api", &[]);
    until_known(2).await;
    let held = tokio::spawn(async move { get(address, "/", &api).await });
    controller.stat(|stat| stat.waiting == 1).await;
    controller.undeclare("api");
    until_known(1).await;
    assert_eq!(held.await.unwrap().unwrap().status, 503);
    assert_eq!(get(address, "/", &api).await.unwrap().status, 404);
    let totals = running.throttler().forgotten();
    assert_eq!((totals.requests, totals.cold_starts, totals.waiting), (1, 1, 0));
    // It can come back, and its own is never forgotten.
    controller.undeclare("web");
    controller.list("back", &[]);
    until_known(2).await;
    close_whole(running).await;
}

/// The story: a controller that had just started named the instances that it knew, at first none,
/// and requests waited although all of them served.
#[tokio::test]
async fn instances_stay_while_a_new_controller_does_not_know_them() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1), ("web-2", app.address, 1)]);
    until(&running, |status| status.ready == 2).await;
    controller.list_nobody_yet("web");
    // Told of in one stream, so heard in this order.
    controller.list("api", &[("api-1", app.address, 1)]);
    let heard = |name| running.throttler().all().iter().any(|known| known.revision().name == name);
    until(&running, |_| heard("api")).await;
    assert_eq!(status(&running).ready, 2);
    assert_eq!(get(address, "/", &[]).await.unwrap().body, "hello");
    controller.list("web", &[("web-2", app.address, 1)]);
    until(&running, |status| status.ready == 1).await;
    close_whole(running).await;
}

#[tokio::test]
async fn a_full_queue_refuses_with_a_retry_after_header() {
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.dispatch = DispatcherSettings { max_waiting: 2, ..DispatcherSettings::default() };
    let (running, address) = open(config);
    let held: Vec<_> = (0..2).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    until(&running, |status| status.waiting == 2).await;
    let refused = get(address, "/", &[]).await.unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (503, "pending request queue full\n"));
    assert!(refused.has("retry-after: 1"), "{}", refused.head);
    let grpc = get(address, "/", &["Content-Type: application/grpc"]).await.unwrap();
    assert_eq!(grpc.status, 200);
    assert!(grpc.has("grpc-status: 14"), "{}", grpc.head);
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1)]);
    for held in held {
        assert_eq!(held.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(status(&running).refused, 2);
    close_whole(running).await;
}

#[tokio::test]
async fn a_request_is_refused_after_the_longest_wait() {
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.dispatch.longest_wait = Some(Duration::from_millis(50));
    let (running, address) = open(config);
    let refused = get(address, "/", &[]).await.unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (503, "no instance became free in time\n"));
    assert!(refused.has("retry-after: 1"), "{}", refused.head);
    close_whole(running).await;
}

#[tokio::test]
async fn two_hundred_clients_never_exceed_any_instances_limit() {
    const CLIENTS: usize = 200;
    const EACH: usize = 5;
    let apps = [
        (App::start(Duration::from_millis(2)).await, 1),
        (App::start(Duration::from_millis(2)).await, 3),
        (App::start(Duration::from_millis(2)).await, 5),
    ];
    let listed: Vec<_> = apps.iter().map(|(app, limit)| (app, *limit)).collect();
    let (running, address) = open(fixed(&listed));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                for _ in 0..EACH {
                    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let served: u32 = apps.iter().map(|(app, _)| app.served()).sum();
    assert_eq!(served as usize, CLIENTS * EACH);
    for (app, limit) in &apps {
        assert!(app.most_in_flight() <= *limit, "{} of {limit}", app.most_in_flight());
        assert!(app.served() > 0, "every instance serves requests");
    }
    close_whole(running).await;
}

#[tokio::test]
async fn clients_that_disconnect_leave_the_queue() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let held = tokio::spawn(get(address, "/gate", &[]));
    until(&running, |status| status.in_flight == 1).await;
    let leaving: Vec<_> = (0..10).map(|_| tokio::spawn(get(address, "/", &[]))).collect();
    until(&running, |status| status.waiting == 10).await;
    for client in leaving {
        client.abort();
    }
    until(&running, |status| status.waiting == 0).await;
    app.seen.gate.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    assert_eq!(app.seen.served.load(Ordering::SeqCst), 1, "the app saw none of them");
    close_whole(running).await;
}

#[tokio::test]
async fn the_controller_bounds_how_many_requests_of_a_revision_wait_and_for_how_long() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    controller.bound("web", 1, 0);
    let waiting = tokio::spawn(get(address, "/", &[]));
    until(&running, |status| status.waiting == 1).await;
    until_refused_with(address, "pending request queue full\n").await;
    waiting.abort();
    until(&running, |status| status.waiting == 0).await;
    controller.bound("web", 0, 50);
    until_refused_with(address, "no instance became free in time\n").await;
    // Without bounds of its own it has the activator's again.
    controller.bound("web", 0, 0);
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1)]);
    until(&running, |status| status.waiting == 0).await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}

/// Asks until it is refused with this body: bounds take effect a moment after they are sent. A
/// request that waits meanwhile is given up.
async fn until_refused_with(address: SocketAddr, body: &str) {
    let refused = async {
        loop {
            if let Ok(response) = tokio::time::timeout(GIVEN_UP, get(address, "/", &[])).await
                && response.unwrap().body == body
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the bound is followed in time");
}

/// A service of two revisions told its clients, before its controller had named the second, that
/// there was no such revision.
#[tokio::test]
async fn a_revision_that_is_known_from_the_start_is_waited_for() {
    let controller = Controller::start().await;
    let api = RevisionName { namespace: "default".into(), name: "api".into() };
    let (running, address) = open(Config { revisions: vec![api], ..config(Some(&controller)) });
    let fields = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: api"];
    let held = tokio::spawn(async move { get(address, "/", &fields).await });
    controller.stat(|stat| stat.waiting == 1).await;
    let app = App::start(Duration::ZERO).await;
    controller.list("api", &[("api-1", app.address, 1)]);
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    close_whole(running).await;
}

/// An activator that started again beside its controller answered 404 for revisions that all
/// others served, until it was told of them.
#[tokio::test]
async fn a_revision_may_be_named_after_its_first_request() {
    let app = App::start(Duration::ZERO).await;
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let named = |name: &str| {
        ["Knative-Serving-Namespace: default".into(), format!("Knative-Serving-Revision: {name}")]
    };
    let early = tokio::spawn(async move {
        let [namespace, revision] = named("api");
        get(address, "/", &[&namespace, &revision]).await.unwrap().status
    });
    controller.stat(|_| true).await;
    controller.list("api", &[("api-1", app.address, 1)]);
    assert_eq!(early.await.unwrap(), 200);
    // What is not named in the first moments is none.
    let [namespace, revision] = named("nope");
    assert_eq!(get(address, "/", &[&namespace, &revision]).await.unwrap().status, 404);
    close_whole(running).await;
}

#[tokio::test]
async fn what_waits_for_a_controller_is_bounded_in_number_and_time() {
    let nobody = tidegate_reserved_port::reserve().unwrap();
    let dispatch = DispatcherSettings {
        max_waiting: 1,
        longest_wait: Some(Duration::from_millis(200)),
        ..DispatcherSettings::default()
    };
    let controller = Some(nobody.to_string());
    let config = Config { controller, dispatch, default_revision: None, ..config(None) };
    let (running, address) = open(config);
    let (first, second) = tokio::join!(get(address, "/", &[]), get(address, "/", &[]));
    let mut bodies = [first, second].map(|response| response.unwrap().body);
    bodies.sort();
    let expected = ["no instance became free in time\n", "pending request queue full\n"];
    assert_eq!(bodies, expected);
    close_whole(running).await;
}
