//! The kind `TrafficRollout`: its fields, its rules, its status.

#![expect(unreachable_pub, reason = "the derive of a schema with rules repeats the type inside")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic_scaler::ServiceRef;

/// How the requests of a route go from a stable Service to a new one, and back if that fails.
#[derive(Debug, Clone, PartialEq, Eq, CustomResource, Deserialize, KubeSchema, Serialize)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "TrafficRollout",
    plural = "trafficrollouts",
    shortname = "tro",
    namespaced,
    derive = "PartialEq",
    status = "TrafficRolloutStatus",
    printcolumn = r#"{"name":"Route","type":"string","jsonPath":".spec.route.name"}"#,
    printcolumn = r#"{"name":"New","type":"string","jsonPath":".spec.new.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Permille","type":"integer","jsonPath":".status.permille"}"#,
    printcolumn = r#"{
        "name": "Ready", "type": "string",
        "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"
    }"#,
    printcolumn = r#"{
        "name": "Progress", "type": "string", "priority": 1, "jsonPath": ".status.progress"
    }"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = (
    "self.stable.name != self.new.name",
    "stable and new name the same Service: each revision needs one of its own"
))]
#[serde(rename_all = "camelCase")]
pub struct TrafficRolloutSpec {
    /// The route in the same namespace whose weights are set. Nothing else of it is ever written.
    pub route: RouteRef,
    /// The Service of the revision that serves now. It must be that of a `TrafficScaler`, through
    /// which it is known what becomes of its requests.
    pub stable: ServiceRef,
    /// The Service of the new revision; of a `TrafficScaler` too.
    pub new: ServiceRef,
    /// What is rolled out, such as an image's tag. Another one begins the rollout anew.
    #[schemars(length(min = 1, max = 63))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// What a person wants of it; `Run` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// How fast to go.
    pub strategy: Strategy,
    /// What is tolerated in the new revision, and what must be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthGate>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteRef {
    /// The name of an `HTTPRoute` of the Gateway API.
    #[schemars(length(max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// What a person wants of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
pub enum Control {
    /// It goes on. After `Abort` it begins anew.
    #[default]
    Run,
    /// It stays where it is. A revision that fails is still returned.
    Pause,
    /// Everything goes to the new revision at once, whatever is known of it.
    Promote,
    /// Everything goes to the stable revision at once, also after everything went to the new one.
    Abort,
}

/// How fast to go: step by step, or in a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, KubeSchema, Serialize)]
#[x_kube(validation = (
    "has(self.steps) != has(self.linear)",
    "strategy needs either steps or linear, and not both"
))]
#[serde(rename_all = "camelCase")]
pub struct Strategy {
    /// Steps, each with more than the one before; after the last, everything goes to the new
    /// revision.
    #[schemars(length(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<RolloutStep>>,
    /// A little more every ten seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear: Option<Linear>,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStep {
    /// The new revision's share, in thousandths: 10 is one percent.
    #[schemars(range(min = 1, max = 1_000))]
    pub permille: i32,
    /// For how long at least, up to a week. It takes longer while there are too few requests.
    #[schemars(range(min = 0, max = 604_800))]
    pub hold_seconds: i64,
}

/// A little more every ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Linear {
    /// How long it takes until everything goes to the new revision, from ten seconds to a week.
    #[schemars(range(min = 10, max = 604_800))]
    pub over_seconds: i64,
    /// The share to begin with, in thousandths; 10 by default.
    #[schemars(range(min = 1, max = 1_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_permille: Option<i32>,
}

/// What is tolerated in the new revision, beside the stable one at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthGate {
    /// How many more of a thousand requests may fail; 5 by default.
    #[schemars(range(min = 0, max = 1_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_errors_permille: Option<i32>,
    /// How much longer requests may take in the app, in percent; 50 by default.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_latency_percent: Option<i32>,
    /// Requests of the new revision that must have ended at each step before it gets more; 100 by
    /// default. A linear rollout counts them once.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_requests: Option<i64>,
}

/// Where a rollout is, and why.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRolloutStatus {
    /// The generation of the object that this speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RolloutPhase>,
    /// The new revision's share, in thousandths, as the route has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permille: Option<i32>,
    /// Which rollout this is: the stable Service, the new one, and the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RolloutRun>,
    /// How it is doing, in a sentence or two; as of a minute ago at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// The last change and its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<LastChange>,
    /// `Ready`, `Promoted`.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Which rollout it is. Another one begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRun {
    /// The stable Service.
    pub stable: String,
    /// The new Service.
    pub new: String,
    /// `spec.revision`, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub enum RolloutPhase {
    /// On its way, or waiting for enough requests.
    Progressing,
    /// Stopped where it is by `control: Pause`.
    Paused,
    /// Everything goes to the new revision.
    Promoted,
    /// Back with the stable revision, because the new one was worse.
    Returned,
    /// Back with the stable revision by `control: Abort`.
    Aborted,
}

/// A change and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastChange {
    /// When it was made.
    pub time: Time,
    /// The new revision's share before, in thousandths.
    pub from_permille: i32,
    /// The new revision's share from then on.
    pub to_permille: i32,
    /// Why, in a few sentences.
    pub reason: String,
}
