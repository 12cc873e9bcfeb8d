//! The requests that were recorded from a real API server get the same responses.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tidegate_kubernetes_fake::{FakeCluster, Kind};

const EXCHANGES: &str = include_str!("exchanges.jsonl");

const ROUTE: Kind = Kind::custom("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute");

const DIAL: Kind = Kind::custom("fixtures.dev", "v1", "dials", "Dial").scaled();

/// `"$NAME"` becomes the version that the exchange of that name ended with.
fn filled_in(value: &Value, versions: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => versions[name].clone(),
            None => value.clone(),
        },
        Value::Array(all) => all.iter().map(|value| filled_in(value, versions)).collect(),
        Value::Object(all) => {
            let fields = all.iter().map(|(name, v)| (name.clone(), filled_in(v, versions)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

/// Where a value differs from the expected one; `None` when it does not.
fn difference(at: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(name, e)| {
            let at = format!("{at}/{name}");
            match found.get(name) {
                Some(found) => difference(&at, e, found),
                None => Some(format!("{at} is missing")),
            }
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate();
            pairs.into_iter().find_map(|(n, (e, f))| difference(&format!("{at}/{n}"), e, f))
        }
        _ if expected == found => None,
        _ => Some(format!("{at} is {found}, expected {expected}")),
    }
}

async fn replay(cluster: &FakeCluster, exchange: &Value, versions: &mut BTreeMap<String, Value>) {
    let name = exchange["name"].as_str().expect("each has a name");
    let (request, response) = (&exchange["request"], &exchange["response"]);
    let text = |field: &str| request[field].as_str();
    let body = match (exchange["raw"].as_str(), request.get("body")) {
        (Some(raw), _) => raw.to_owned(),
        (None, Some(body)) => filled_in(body, versions).to_string(),
        (None, None) => String::new(),
    };
    let mut builder = Request::builder()
        .method(text("method").expect("each has a method"))
        .uri(text("path").expect("each has a path"));
    if let Some(content_type) = text("content_type") {
        builder = builder.header("content-type", content_type);
    }
    let request = builder.body(Bytes::from(body)).expect("it can be sent");
    let (head, body) = cluster.respond(request).into_parts();
    let body = body.collect().await.expect("it is answered").to_bytes();
    let found: Value = serde_json::from_slice(&body).unwrap_or_default();
    assert_eq!(u64::from(head.status.as_u16()), response["status"], "{name}: {found}");
    if let Some(text) = exchange["text"].as_str() {
        assert_eq!(body, text.as_bytes(), "{name}");
    }
    if let Some(expected) = response.get("body") {
        assert_eq!(difference("", expected, &found), None, "{name}: {found}");
        for path in exchange["whole"].as_array().into_iter().flatten() {
            let path = path.as_str().expect("a path");
            assert_eq!(found.pointer(path), expected.pointer(path), "{name}");
        }
    }
    for (path, expected) in exchange["among"].as_object().into_iter().flatten() {
        let list = found.pointer(path).and_then(Value::as_array).expect("a list is there");
        for entry in expected.as_array().expect("a list is expected") {
            let has = list.iter().any(|found| difference("", entry, found).is_none());
            assert!(has, "{name}: {entry} is not in {list:?}");
        }
    }
    let version = &found["metadata"]["resourceVersion"];
    if found["kind"] != "Status" && !version.is_null() {
        versions.insert(name.to_owned(), version.clone());
    }
}

#[tokio::test]
async fn recorded_requests_get_the_recorded_responses() {
    let cluster = FakeCluster::new(&[DIAL, ROUTE]);
    let mut versions = BTreeMap::new();
    let exchanges: Vec<Value> =
        EXCHANGES.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect();
    assert!(exchanges.len() >= 30, "{} exchanges", exchanges.len());
    for exchange in &exchanges {
        replay(&cluster, exchange, &mut versions).await;
    }
}
