//! Which revision a request goes to, and probes of the activator itself.

use std::time::Duration;

use crate::app::App;
use crate::client::get;
use crate::controller::Controller;
use crate::stage::{close_whole, config, fixed, open, until};

/// The time between two checks of a condition that is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(1);

#[tokio::test]
async fn headers_or_host_name_the_revision_and_unknown_ones_are_not_found() {
    let (web, api) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    controller.list("web", &[("web-1", web.address, 1)]);
    controller.list("api", &[("api-1", api.address, 1)]);
    while running.throttler().all().iter().map(|throttler| throttler.status().ready).sum::<u32>()
        < 2
    {
        tokio::time::sleep(POLL_PERIOD).await;
    }
    let named = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: api"];
    assert_eq!(get(address, "/", &named).await.unwrap().status, 200);
    assert_eq!((web.served(), api.served()), (0, 1));
    let headers = api.seen.last_headers.lock().unwrap().clone();
    assert!(!headers.contains_key("knative-serving-revision"));
    assert!(!headers.contains_key("knative-serving-namespace"));
    let host = ["Host: api.default.svc.cluster.local"];
    assert_eq!(get(address, "/", &host).await.unwrap().status, 200);
    assert_eq!((web.served(), api.served()), (0, 2));
    assert_eq!(get(address, "/", &["Host: anything.else"]).await.unwrap().status, 200);
    assert_eq!((web.served(), api.served()), (1, 2));
    let unknown = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: nope"];
    assert_eq!(get(address, "/", &unknown).await.unwrap().status, 404);
    close_whole(running).await;
}

#[tokio::test]
async fn malformed_routing_headers_do_not_fall_back_to_the_host() {
    let app = App::start(Duration::ZERO).await;
    let (running, address) = open(fixed(&[(&app, 1)]));
    let namespace = "Knative-Serving-Namespace: default";
    for lines in [
        &[namespace, "Knative-Serving-Revision: web", "Knative-Serving-Revision: web"][..],
        &[namespace, namespace, "Knative-Serving-Revision: web"],
        &[namespace, "Knative-Serving-Revision: \u{e4}"],
        &["Host: u@web.default.svc"],
        &["Host: web.default.svc:x"],
        &["Host: web.default.svc", "Host: web.default.svc"],
    ] {
        assert_eq!(get(address, "/", lines).await.unwrap().status, 400, "{lines:?}");
    }
    assert_eq!(get(address, "http://u@web.default.svc/", &[]).await.unwrap().status, 400);
    assert_eq!(app.served(), 0);
    let empty = [namespace, "Knative-Serving-Revision:", "Host: web.default.svc"];
    assert_eq!(get(address, "/", &empty).await.unwrap().status, 200, "empty is as good as absent");
    assert_eq!(get(address, "http://web.default.svc/", &[]).await.unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn without_a_default_a_request_must_name_its_revision() {
    let app = App::start(Duration::ZERO).await;
    let mut config = fixed(&[(&app, 1)]);
    config.default_revision = None;
    let (running, address) = open(config);
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 404);
    let host = ["Host: web.default.svc:8080"];
    assert_eq!(get(address, "/", &host).await.unwrap().status, 200);
    close_whole(running).await;
}

#[tokio::test]
async fn probes_are_answered_and_never_held() {
    let controller = Controller::start().await;
    let (running, address) = open(config(Some(&controller)));
    let ask = |lines: &'static [&'static str]| async move {
        let response = get(address, "/healthz", lines).await.unwrap();
        (response.status, response.body)
    };
    assert_eq!(ask(&["K-Network-Probe: activator"]).await, (200, "activator".into()));
    assert_eq!(ask(&["K-Network-Probe: queue"]).await.0, 400);
    assert_eq!(ask(&["K-Network-Probe: probe"]).await.0, 400);
    assert_eq!(ask(&["User-Agent: kube-probe/1.34"]).await.0, 200);
    let hashed = ["K-Network-Probe: probe", "K-Network-Hash: deadbeef"];
    let response = get(address, "/", &hashed).await.unwrap();
    assert_eq!(response.status, 200);
    assert!(response.has("k-network-hash: deadbeef"), "{}", response.head);
    until(&running, |status| status.requests == 0 && status.waiting == 0).await;
    close_whole(running).await;
}
