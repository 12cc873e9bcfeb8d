//! The group `external.metrics.k8s.io`, as an extension of the API server: which documents answer
//! which requests.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::measure::Measure;
use crate::published::{Numbers, Published};
use crate::selector::Selector;

/// The group.
pub const GROUP: &str = "external.metrics.k8s.io";

/// The version that every autoscaler since Kubernetes 1.10 reads.
pub const VERSION: &str = "v1beta1";

/// The label by which a metric's selector names a TrafficScaler.
pub const SCALER_LABEL: &str = "trafficscaler";

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// A document.
    pub body: Value,
}

impl Reply {
    fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// A refusal as every API server gives it: its message is what a person reads in the
    /// conditions of an autoscaler.
    #[must_use]
    pub fn failure(status: u16, reason: &str, message: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status,
        });
        Self { status, body }
    }
}

/// The reply to a `GET` of a path with a query at a moment.
#[must_use]
pub fn reply(published: &Published, path: &str, query: &str, now: Timestamp) -> Reply {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["apis", GROUP] => Reply::ok(group()),
        ["apis", GROUP, VERSION] => Reply::ok(resources()),
        ["apis", GROUP, VERSION, "namespaces", namespace, metric] => {
            values(published, (namespace, metric), query, now)
        }
        ["openapi", "v2"] => Reply::ok(openapi_2()),
        ["openapi", "v3"] => Reply::ok(openapi_3_index()),
        ["openapi", "v3", "apis", GROUP, VERSION] => Reply::ok(openapi_3()),
        _ => Reply::failure(404, "NotFound", &format!("there is nothing at {path}")),
    }
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": GROUP,
        "versions": [version], "preferredVersion": version,
    })
}

fn resources() -> Value {
    let resource = |measure: Measure| {
        json!({
            "name": measure.metric_name(), "singularName": "", "namespaced": true,
            "kind": "ExternalMetricValueList", "verbs": ["get"],
        })
    };
    json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": Measure::ALL.map(resource),
    })
}

/// The values of a metric in a namespace. An autoscaler adds them up, so there are all or none.
fn values(
    published: &Published,
    (namespace, metric): (&str, &str),
    query: &str,
    now: Timestamp,
) -> Reply {
    let Some(measure) = Measure::of_metric_name(metric) else {
        let known = Measure::ALL.map(Measure::metric_name).join(" and ");
        let message = format!("there is no external metric {metric}: there are {known}");
        return Reply::failure(404, "NotFound", &message);
    };
    let selector = match Selector::parse(&parameter(query, "labelSelector")) {
        Ok(selector) => selector,
        Err(error) => return Reply::failure(400, "BadRequest", &error.to_string()),
    };
    if !published.is_in_force() {
        let message = "this controller no longer decides: ask again";
        return Reply::failure(503, "ServiceUnavailable", message);
    }
    let mut items = Vec::new();
    for (name, said) in published.of_namespace(namespace) {
        let unknown = BTreeMap::from([(SCALER_LABEL, name.as_str())]);
        match said {
            Ok(numbers) => {
                let labels = labels(&name, &numbers);
                if selector.matches(&labels) {
                    items.push(item(measure, &labels, &numbers, now));
                }
            }
            // Of one without numbers no more than the name is known.
            Err(why) if selector.matches(&unknown) => {
                let message = format!("TrafficScaler {namespace}/{name} has no number: {why}");
                return Reply::failure(503, "ServiceUnavailable", &message);
            }
            Err(_) => {}
        }
    }
    if items.is_empty() {
        let message = format!(
            "no TrafficScaler of namespace {namespace} matches the selector of the metric; name \
             one by the label {SCALER_LABEL}"
        );
        return Reply::failure(404, "NotFound", &message);
    }
    Reply::ok(json!({
        "kind": "ExternalMetricValueList", "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {}, "items": items,
    }))
}

fn labels<'a>(name: &'a str, numbers: &'a Numbers) -> BTreeMap<&'a str, &'a str> {
    let recommendation = &numbers.recommendation;
    BTreeMap::from([
        (SCALER_LABEL, name),
        ("target", recommendation.target.as_str()),
        ("service", recommendation.service.as_str()),
    ])
}

fn item(
    measure: Measure,
    labels: &BTreeMap<&str, &str>,
    numbers: &Numbers,
    now: Timestamp,
) -> Value {
    json!({
        "metricName": measure.metric_name(),
        "metricLabels": labels,
        // The API keeps whole seconds.
        "timestamp": format!("{now:.0}"),
        "value": format!("{}m", measure.milli(numbers)),
    })
}

/// A parameter of a query, with what was escaped in it; empty when it is absent.
fn parameter(query: &str, name: &str) -> String {
    let found = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let mut bytes = Vec::new();
    let mut rest = found.unwrap_or_default().as_bytes().iter();
    while let Some(byte) = rest.next().copied() {
        let digits = rest.as_slice().get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (byte, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(escaped)) => {
                bytes.push(escaped);
                rest.nth(1);
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn openapi_2() -> Value {
    json!({"swagger": "2.0", "info": {"title": "Tidegate", "version": VERSION}, "paths": {}})
}

fn openapi_3_index() -> Value {
    let path = format!("apis/{GROUP}/{VERSION}");
    let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
    json!({"paths": {path: {"serverRelativeURL": url}}})
}

fn openapi_3() -> Value {
    let parameter = |name: &str, place: &str| {
        json!({
            "name": name, "in": place, "required": place == "path", "schema": {"type": "string"},
        })
    };
    let path = |measure: Measure| {
        let path =
            format!("/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{}", measure.metric_name());
        let get = json!({
            "description": "the value of each TrafficScaler that the selector matches",
            "parameters": [parameter("namespace", "path"), parameter("labelSelector", "query")],
            "responses": {"200": {"description": "an ExternalMetricValueList"}},
        });
        (path, json!({"get": get}))
    };
    let paths: BTreeMap<String, Value> = Measure::ALL.map(path).into();
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Tidegate", "version": VERSION},
        "paths": paths,
    })
}
