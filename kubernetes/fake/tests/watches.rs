//! Watches report changes in their order, as a real API server was seen to.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tidegate_kubernetes_fake::{FakeCluster, Fault};

const SERVICES: &str = "/api/v1/namespaces/shop/services";

/// No response may take longer: every awaited event has occurred already.
const PATIENCE: Duration = Duration::from_secs(5);

async fn ask(cluster: &FakeCluster, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/merge-patch+json")
        .body(Bytes::from(body.to_string()))
        .expect("it can be sent");
    let (head, body) = cluster.respond(request).into_parts();
    let body = body.collect().await.expect("it is answered").to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap_or_default())
}

async fn make(cluster: &FakeCluster, name: &str) -> u64 {
    let (status, made) =
        ask(cluster, Method::POST, SERVICES, json!({"metadata": {"name": name}})).await;
    assert_eq!(status, 201);
    let version = made["metadata"]["resourceVersion"].as_str().expect("it has a version");
    version.parse().expect("a number")
}

/// A watch that is read event by event.
struct Reader {
    body: tidegate_kubernetes_fake::server::Body,
}

impl Reader {
    fn of(cluster: &FakeCluster, query: &str) -> Self {
        let path = format!("{SERVICES}?watch=1&{query}");
        let request = Request::builder().uri(path).body(Bytes::new()).expect("it can be sent");
        Self { body: cluster.respond(request).into_body() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
        let frame = frame.expect("it comes in time")?.expect("a body cannot fail");
        let bytes = frame.into_data().expect("there are no trailers");
        Some(serde_json::from_slice(&bytes).expect("an event is JSON"))
    }

    async fn next_change(&mut self) -> (String, String) {
        let event = self.next().await.expect("there is an event");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (event["type"].as_str().expect("it has a type").to_owned(), name)
    }
}

fn change(what: &str, name: &str) -> (String, String) {
    (what.to_owned(), name.to_owned())
}

#[tokio::test]
async fn changes_since_a_version_are_sent_in_order() {
    let cluster = FakeCluster::new(&[]);
    let begin = make(&cluster, "a").await;
    make(&cluster, "b").await;
    let path = format!("{SERVICES}/a");
    ask(&cluster, Method::PATCH, &path, json!({"spec": {"type": "NodePort"}})).await;
    let mut reader = Reader::of(&cluster, &format!("resourceVersion={begin}"));
    assert_eq!(reader.next_change().await, change("ADDED", "b"));
    assert_eq!(reader.next_change().await, change("MODIFIED", "a"));
    ask(&cluster, Method::DELETE, &path, Value::Null).await;
    assert_eq!(reader.next_change().await, change("DELETED", "a"));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let cluster = FakeCluster::new(&[]);
    make(&cluster, "a").await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut reader = Reader::of(&cluster, query);
    assert_eq!(reader.next_change().await, change("ADDED", "a"));
    let bookmark = reader.next().await.expect("there is a bookmark");
    let end = &bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
    assert_eq!((bookmark["type"].as_str(), end.as_str()), (Some("BOOKMARK"), Some("true")));
}

#[tokio::test]
async fn without_a_version_existing_objects_are_added_first() {
    let cluster = FakeCluster::new(&[]);
    make(&cluster, "a").await;
    let mut reader = Reader::of(&cluster, "");
    assert_eq!(reader.next_change().await, change("ADDED", "a"));
}

#[tokio::test(start_paused = true)]
async fn a_future_version_gets_no_events() {
    let cluster = FakeCluster::new(&[]);
    make(&cluster, "a").await;
    let mut reader = Reader::of(&cluster, "resourceVersion=999999999&timeoutSeconds=2");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn a_compacted_version_is_gone() {
    let cluster = FakeCluster::new(&[]);
    let begin = make(&cluster, "a").await;
    make(&cluster, "b").await;
    cluster.compact();
    let mut reader = Reader::of(&cluster, &format!("resourceVersion={begin}"));
    let event = reader.next().await.expect("an event");
    let object = &event["object"];
    assert_eq!((event["type"].as_str(), object["code"].as_u64()), (Some("ERROR"), Some(410)));
    assert_eq!(object["reason"], "Expired");
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn events_can_be_held_back_and_watches_cut() {
    let cluster = FakeCluster::new(&[]);
    let begin = make(&cluster, "a").await;
    cluster.hold_events();
    make(&cluster, "b").await;
    let mut reader = Reader::of(&cluster, &format!("resourceVersion={begin}"));
    tokio::task::yield_now().await;
    cluster.release_events();
    assert_eq!(reader.next_change().await, change("ADDED", "b"));
    cluster.cut_watches();
    assert_eq!(reader.next().await, None);
}

#[tokio::test]
async fn requests_fail_as_injected() {
    let cluster = FakeCluster::new(&[]);
    let fault = Fault::TooMany { retry_after_seconds: 3 };
    cluster.fail(Method::GET, "services", fault, 1);
    cluster.fail(Method::POST, "services", Fault::LostResponse, 1);
    assert_eq!(ask(&cluster, Method::GET, SERVICES, Value::Null).await.0, 429);
    assert_eq!(ask(&cluster, Method::GET, SERVICES, Value::Null).await.0, 200);
    // The request was executed all the same.
    let body = json!({"metadata": {"name": "a"}});
    assert_eq!(ask(&cluster, Method::POST, SERVICES, body.clone()).await.0, 504);
    assert_eq!(ask(&cluster, Method::POST, SERVICES, body).await.0, 409);
}
