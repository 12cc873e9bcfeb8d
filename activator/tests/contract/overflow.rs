//! What becomes of requests that no instance takes.

use std::time::Duration;

use tidegate_activator::Config;
use tidegate_activator::http::StatusCode;
use tidegate_activator::overflow::Overflow;
use tidegate_activator::placeholder::Placeholder;
use tidegate_proto::CREDIT_HEADER;
use tidegate_reporter::RevisionName;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{close_whole, config, open, status, until, web};

/// What a browser says when someone goes to a page.
const BROWSER: [&str; 2] =
    ["Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Sec-Fetch-Mode: navigate"];

fn with(controller: &Controller, overflow: Overflow) -> Config {
    Config { overflow, ..config(Some(controller)) }
}

fn page(after: Duration) -> Overflow {
    let page = Placeholder::with_page("<p>{{state}} {{refresh_seconds}}</p>".to_owned()).unwrap();
    Overflow { placeholder: Some(page.shown_after(after)), ..Overflow::default() }
}

#[tokio::test]
async fn refusals_have_the_status_that_is_asked_for() {
    let controller = Controller::start().await;
    let mut config = with(
        &controller,
        Overflow { status: StatusCode::TOO_MANY_REQUESTS, ..Overflow::default() },
    );
    config.dispatch.max_waiting = 0;
    let (running, address) = open(config);
    let refused = get(address, "/", &[]).await.unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (429, "pending request queue full\n"));
    assert!(refused.has("retry-after: 1"), "{}", refused.head);
    let grpc = get(address, "/", &["Content-Type: application/grpc"]).await.unwrap();
    assert!(grpc.has("grpc-status: 14") && grpc.has("grpc-retry-pushback-ms: 1000"), "{grpc:?}");
    close_whole(running).await;
}

#[tokio::test]
async fn people_see_a_page_while_nothing_is_ready_and_programs_wait() {
    let controller = Controller::start().await;
    let (running, address) = open(with(&controller, page(Duration::from_millis(20))));
    let program = tokio::spawn(async move { get(address, "/", &["Accept: */*"]).await });
    let script = ["Accept: text/html", "Sec-Fetch-Mode: cors"];
    let script = tokio::spawn(async move { get(address, "/", &script).await });
    until(&running, |status| status.waiting == 2).await;
    let seen = get(address, "/", &BROWSER).await.unwrap();
    assert_eq!((seen.status, seen.body.as_str()), (503, "<p>starting 2</p>"));
    for line in ["refresh: 2", "retry-after: 2", "cache-control: no-store"] {
        assert!(seen.has(line), "{line}: {}", seen.head);
    }
    assert_eq!(status(&running).waiting, 2, "it has left the queue, the programs have not");
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1)]);
    for client in [program, script] {
        assert_eq!(client.await.unwrap().unwrap().body, "hello");
    }
    assert_eq!(get(address, "/", &BROWSER).await.unwrap().body, "hello");
    close_whole(running).await;
}

#[tokio::test]
async fn people_keep_their_place_while_instances_are_busy() {
    let controller = Controller::start().await;
    let after = Duration::from_millis(20);
    let (running, address) = open(with(&controller, page(after)));
    let app = App::start(Duration::ZERO).await;
    controller.list("web", &[("web-1", app.address, 1)]);
    let busy = tokio::spawn(async move { get(address, "/gate", &[]).await });
    until(&running, |status| status.in_flight == 1).await;
    let browser = tokio::spawn(async move { get(address, "/", &BROWSER).await });
    until(&running, |status| status.waiting == 1).await;
    tokio::time::sleep(after * 3).await;
    assert_eq!(status(&running).waiting, 1, "asking again would put it behind all others");
    app.seen.gate.add_permits(1);
    for client in [busy, browser] {
        assert_eq!(client.await.unwrap().unwrap().status, 200);
    }
    close_whole(running).await;
}

#[tokio::test]
async fn people_who_are_refused_see_the_page_too() {
    let controller = Controller::start().await;
    let mut config = with(&controller, page(Duration::from_secs(3_600)));
    config.dispatch.max_waiting = 0;
    let (running, address) = open(config);
    let seen = get(address, "/", &BROWSER).await.unwrap();
    assert_eq!((seen.status, seen.body.as_str()), (503, "<p>busy 2</p>"));
    let refused = get(address, "/", &["Accept: application/json"]).await.unwrap();
    assert_eq!((refused.status, refused.body.as_str()), (503, "pending request queue full\n"));
    let post = get(address, "/", &["X-Requested-With: XMLHttpRequest", BROWSER[0]]).await.unwrap();
    assert_eq!(post.body, "pending request queue full\n");
    close_whole(running).await;
}

#[tokio::test]
async fn a_fallback_answers_what_is_refused_and_sees_no_secret() {
    let controller = Controller::start().await;
    let fallback = App::start(Duration::ZERO).await;
    let fallbacks = [(web(), fallback.address)].into();
    let mut config = with(&controller, Overflow { fallbacks, ..Overflow::default() });
    config.dispatch.max_waiting = 0;
    config.sidecar_secret = Some("for sidecars only".parse().unwrap());
    let (running, address) = open(config);
    // Whoever claims a credit here has none that a fallback could be told of.
    let claimed = format!("{CREDIT_HEADER}: door-1");
    let answered = get(address, "/", &["Host: shop.example", &claimed]).await.unwrap();
    assert_eq!((answered.status, answered.body.as_str()), (200, "hello"));
    let headers = fallback.seen.last_headers.lock().unwrap().clone();
    assert_eq!(headers["host"], "shop.example");
    assert!(headers.values().all(|value| value != "for sidecars only"), "{headers:?}");
    for name in ["k-proxy-request", CREDIT_HEADER] {
        assert!(!headers.contains_key(name), "{headers:?}");
    }
    // One that is not there changes nothing.
    fallback.kill();
    let refused = async {
        loop {
            match get(address, "/", &[]).await {
                Some(response) if response.status == 503 => return response,
                _ => tokio::task::yield_now().await,
            }
        }
    };
    let refused = tokio::time::timeout(crate::stage::PATIENCE, refused).await.expect("in time");
    assert_eq!(refused.body, "pending request queue full\n");
    close_whole(running).await;
}

#[tokio::test]
async fn a_fallback_is_one_revisions() {
    let controller = Controller::start().await;
    let fallback = App::start(Duration::ZERO).await;
    let other = RevisionName { namespace: "default".into(), name: "other".into() };
    let fallbacks = [(other, fallback.address)].into();
    let mut config = with(&controller, Overflow { fallbacks, ..Overflow::default() });
    config.dispatch.max_waiting = 0;
    let (running, address) = open(config);
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 503);
    assert_eq!(fallback.served(), 0);
    close_whole(running).await;
}
