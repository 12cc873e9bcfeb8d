//! Whose turn it is, how long each may take, and where what belongs together goes.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_activator::request_keys::{CLASS_HEADER, ClassNames, RequestKeys};
use tidegate_activator::waiting_totals::WaitingBounds;
use tidegate_activator::{Config, Running};
use tidegate_admission::{Classes, DispatcherSettings, Order, Policy};
use tidegate_proto::stats::v1::{QueueClass, QueueOrder, QueueRules};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::app::App;
use crate::client::{Response, get};
use crate::controller::Controller;
use crate::stage::{PATIENCE, POLL_PERIOD, close_whole, config, fixed, open, status, until};

/// A client asks for `/gate` with this line, and what names it to the app.
fn ask(address: SocketAddr, name: &str, line: &str) -> JoinHandle<Option<Response>> {
    let (name, line) = (format!("X-Name: {name}"), line.to_owned());
    tokio::spawn(async move { get(address, "/gate", &[&name, &line]).await })
}

/// Who came to the app last.
fn last_name(app: &App) -> String {
    let headers = app.seen.last_headers.lock().unwrap();
    headers.get("x-name").map_or("", |name| name.to_str().unwrap()).to_owned()
}

/// Lets the request at the app go, again and again: the names of those that come behind the first.
async fn served(app: &App, running: &Running, count: usize) -> Vec<String> {
    let mut names = vec![last_name(app)];
    while names.len() <= count {
        app.seen.gate.add_permits(1);
        let before = names.last().cloned();
        until(running, |_| Some(last_name(app)) != before).await;
        names.push(last_name(app));
    }
    app.seen.gate.add_permits(1);
    names.split_off(1)
}

/// The first request is inside; these come behind it, one after the other. Gives in which order
/// they are served.
async fn order_of(config: impl FnOnce(Config) -> Config, lines: &[(&str, &str)]) -> Vec<String> {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(config(fixed(&[(&app, 1)])));
    let mut clients = vec![ask(address, "first", "Accept: */*")];
    until(&running, |_| last_name(&app) == "first").await;
    for (nth, (name, line)) in (1..).zip(lines) {
        clients.push(ask(address, name, line));
        until(&running, |status| status.waiting == nth).await;
    }
    let names = served(&app, &running, lines.len()).await;
    for client in clients {
        assert_eq!(client.await.unwrap().unwrap().status, 200);
    }
    close_whole(running).await;
    names
}

fn due_in(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("X-Request-Deadline: {}", now.as_secs() + seconds)
}

#[tokio::test]
async fn the_response_that_is_due_first_is_made_first() {
    let order = |config: Config| {
        let dispatch = DispatcherSettings { order: Order::EarliestDeadline, ..config.dispatch };
        Config { dispatch, ..config }
    };
    let (late, soon) = (due_in(200), due_in(100));
    let grpc = "Content-Type: application/grpc\r\nGrpc-Timeout: 50S";
    let lines = [("never", "A: b"), ("late", &*late), ("soon", &*soon), ("grpc", grpc)];
    assert_eq!(order_of(order, &lines).await, ["grpc", "soon", "late", "never"]);
}

#[tokio::test]
async fn users_take_turns() {
    let order = |config: Config| {
        let dispatch = DispatcherSettings { order: Order::Fair, ..config.dispatch };
        let fairness = Some("header:x-user".parse().unwrap());
        Config { dispatch, keys: RequestKeys { fairness, ..config.keys }, ..config }
    };
    let (busy, other) = ("X-User: busy", "X-User: other");
    let lines = [("b1", busy), ("b2", busy), ("b3", busy), ("o1", other), ("o2", other)];
    assert_eq!(order_of(order, &lines).await, ["b1", "o1", "b2", "o2", "b3"]);
}

#[tokio::test]
async fn classes_have_their_shares() {
    let order = |config: Config| {
        let weights = [2, 1].map(|weight| NonZeroU16::new(weight).unwrap());
        let classes = Classes::new(&weights).unwrap();
        let names = ClassNames::new(CLASS_HEADER, vec!["gold".to_owned(), "rest".to_owned()]);
        let dispatch = DispatcherSettings { classes, ..config.dispatch };
        Config { dispatch, keys: RequestKeys { classes: names, ..config.keys }, ..config }
    };
    let (gold, none) = ("X-Request-Class: gold", "X-Request-Class: unknown");
    let lines =
        [("r1", none), ("r2", "A: b"), ("g1", gold), ("g2", gold), ("g3", gold), ("g4", gold)];
    assert_eq!(order_of(order, &lines).await, ["g1", "r1", "g2", "g3", "r2", "g4"]);
}

#[tokio::test]
async fn the_controller_says_whose_turn_it_is_and_takes_it_back() {
    let controller = Controller::start().await;
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(config(Some(&controller)));
    controller.list("web", &[("web-1", app.address, 1)]);
    let class = |name: &str, weight| QueueClass { name: name.to_owned(), weight };
    let rules = QueueRules {
        order: QueueOrder::Deadline.into(),
        classes: vec![class("gold", 2), class("rest", 1)],
        class_header: "x-plan".to_owned(),
        ..QueueRules::default()
    };
    controller.order("web", rules);
    until(&running, |status| status.order == Order::EarliestDeadline).await;
    let (late, soon) = (due_in(2_000), due_in(1_000));
    let lines = [("r1", &*late), ("r2", &*soon), ("g1", "X-Plan: gold"), ("g2", "X-Plan: gold")];
    for (rules, served_as) in [
        (None, ["g1", "r2", "g2", "r1"]),
        // Nothing is said of it any more, while they wait: as the activator is configured.
        (Some(QueueRules::default()), ["r1", "r2", "g1", "g2"]),
    ] {
        let mut clients = vec![ask(address, "first", "A: b")];
        until(&running, |_| last_name(&app) == "first").await;
        for (nth, (name, line)) in (1..).zip(lines) {
            clients.push(ask(address, name, line));
            until(&running, |status| status.waiting == nth).await;
        }
        if let Some(rules) = rules {
            controller.order("web", rules);
            until(&running, |status| status.order == Order::Arrival).await;
        }
        assert_eq!(served(&app, &running, lines.len()).await, served_as);
        for client in clients {
            assert_eq!(client.await.unwrap().unwrap().status, 200);
        }
    }
    close_whole(running).await;
}

#[tokio::test]
async fn what_is_due_before_an_instance_is_there_is_given_up_in_time() {
    let (running, address) = open(config(Some(&Controller::start().await)));
    let past = get(address, "/", &["X-Request-Deadline: 1970-01-02T00:00:00Z"]).await.unwrap();
    assert_eq!((past.status, past.body.as_str()), (504, "activator request timeout\n"));
    let lines = ["Content-Type: application/grpc", "Grpc-Timeout: 20m"];
    let grpc = get(address, "/", &lines).await.unwrap();
    assert!(grpc.has("grpc-status: 4"), "{}", grpc.head);
    assert_eq!(status(&running).waiting, 0);
    // One that cannot be read has what every request has.
    let waiting = ask(address, "", "X-Request-Deadline: yesterday");
    until(&running, |status| status.waiting == 1).await;
    waiting.abort();
    close_whole(running).await;
}

#[tokio::test]
async fn requests_with_one_user_go_to_one_instance() {
    let apps = [App::start(Duration::ZERO).await, App::start(Duration::ZERO).await];
    let mut config = fixed(&[(&apps[0], 0), (&apps[1], 0)]);
    config.dispatch.policy = Policy::ConsistentHash;
    config.keys.affinity = Some("cookie:user".parse().unwrap());
    let (running, address) = open(config);
    let served = || [apps[0].served(), apps[1].served()];
    let mut homes = [0, 0];
    for user in 0..20 {
        let before = served();
        for _ in 0..3 {
            let cookie = format!("Cookie: theme=dark; user=u{user}; x=y");
            assert_eq!(get(address, "/", &[&cookie]).await.unwrap().status, 200);
        }
        let of = [served()[0] - before[0], served()[1] - before[1]];
        assert!(of == [3, 0] || of == [0, 3], "user {user}: {of:?}");
        homes[usize::from(of[0] == 0)] += 1;
    }
    assert!(homes.iter().all(|users| *users > 0), "{homes:?}");
    close_whole(running).await;
}

#[tokio::test]
async fn all_revisions_together_have_a_bound_and_each_may_wait_once() {
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.waiting_bounds = WaitingBounds { requests: Some(2), bytes: None };
    let (running, address) = open(config);
    controller.list("api", &[]);
    let known = async {
        while running.throttler().all().len() < 2 {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("in time");
    let held: Vec<_> = (0..2).map(|_| ask(address, "", "A: b")).collect();
    let web = || running.throttler().find(&Default::default()).unwrap();
    until(&running, |_| web().status().waiting == 2).await;
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 503);
    let api = "Knative-Serving-Namespace: default\r\nKnative-Serving-Revision: api";
    let first = ask(address, "", api);
    until(&running, |_| running.throttler().all().iter().all(|r| r.status().waiting > 0)).await;
    assert_eq!(get(address, "/", &[api]).await.unwrap().status, 503);
    for client in held.into_iter().chain([first]) {
        client.abort();
    }
    close_whole(running).await;
}

#[tokio::test]
async fn the_queue_has_a_bound_in_bytes() {
    let mut config = config(Some(&Controller::start().await));
    config.dispatch.max_waiting_bytes = Some(20_000);
    let (running, address) = open(config);
    let long = format!("X-Long: {}", "x".repeat(6_000));
    let held = ask(address, "", &long);
    until(&running, |status| status.waiting == 1 && status.waiting_bytes > 6_000).await;
    assert_eq!(get(address, "/", &[&long]).await.unwrap().status, 503);
    let short = ask(address, "", "A: b");
    until(&running, |status| status.waiting == 2).await;
    held.abort();
    short.abort();
    until(&running, |status| status.waiting_bytes == 0).await;
    close_whole(running).await;
}

/// Responds with half of what it promises, and after `/late` first with nothing for a while.
async fn half(service: Duration) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut head).await {
                    if head[..count].starts_with(b"GET /late") {
                        tokio::time::sleep(service).await;
                    }
                    let half =
                        b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\nab";
                    if stream.write_all(half).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn waiting_first_byte_and_silence_have_times_of_their_own() {
    const FOREVER: Duration = Duration::from_secs(3_600);
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.first_byte_timeout = Some(Duration::from_millis(150));
    config.limits.idle = Some(Duration::from_millis(150));
    let (running, address) = open(config);
    // The wait is longer than both, and counts for neither.
    let waiting = tokio::spawn(async move { get(address, "/", &[]).await });
    until(&running, |status| status.waiting == 1).await;
    tokio::time::sleep(LONG_WAIT).await;
    controller.list("web", &[("web-1", half(FOREVER).await, 0)]);
    let cut = waiting.await.unwrap().expect("it begins");
    assert_eq!((cut.status, cut.body.as_str()), (200, "ab"), "silence cuts it short");
    let late = get(address, "/late", &[]).await.unwrap();
    assert_eq!((late.status, late.body.as_str()), (504, "activator request timeout\n"));
    drop(running);
}

/// Longer than the times that are tried.
const LONG_WAIT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_new_instance_without_a_limit_is_not_sent_all_that_waits() {
    let controller = Controller::start().await;
    let mut config = config(Some(&controller));
    config.slow_start = std::num::NonZero::new(5);
    let (running, address) = open(config);
    let held: Vec<_> = (0..40).map(|_| ask(address, "", "A: b")).collect();
    until(&running, |status| status.waiting == 40).await;
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 0)]);
    let seen = Arc::clone(&app.seen);
    until(&running, |_| seen.in_flight.load(Ordering::SeqCst) >= 5).await;
    assert!(seen.most_in_flight.load(Ordering::SeqCst) < 20, "some, not all");
    // It finishes none, and is given the others little by little nevertheless.
    until(&running, |_| seen.in_flight.load(Ordering::SeqCst) == 40).await;
    seen.gate.add_permits(40);
    for client in held {
        assert_eq!(client.await.unwrap().unwrap().status, 200);
    }
    close_whole(running).await;
}
