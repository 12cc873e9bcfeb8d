//! The kind `TrafficScaler`: its fields, its rules, its status.

#![expect(unreachable_pub, reason = "the derive of a schema with rules repeats the type inside")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::activator_queue::ActivatorQueue;

/// How a workload is scaled by the requests that its Service receives.
#[derive(Debug, Clone, PartialEq, CustomResource, Deserialize, KubeSchema, Serialize)]
#[kube(
    group = "tidegate.dev",
    version = "v1alpha1",
    kind = "TrafficScaler",
    plural = "trafficscalers",
    shortname = "ts",
    category = "autoscaling",
    namespaced,
    derive = "PartialEq",
    status = "TrafficScalerStatus",
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.targetRef.name"}"#,
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".status.mode"}"#,
    printcolumn = r#"{
        "name": "Ready", "type": "string",
        "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"
    }"#,
    printcolumn = r#"{
        "name": "Reason", "type": "string",
        "jsonPath": ".status.conditions[?(@.type==\"Ready\")].reason"
    }"#,
    printcolumn = r#"{"name":"Replicas","type":"integer","jsonPath":".status.replicas"}"#,
    printcolumn = r#"{"name":"Wanted","type":"integer","jsonPath":".status.desiredReplicas"}"#,
    printcolumn = r#"{
        "name": "Message", "type": "string", "priority": 1,
        "jsonPath": ".status.conditions[?(@.type==\"Ready\")].message"
    }"#,
    printcolumn = r#"{
        "name": "Decision", "type": "string", "priority": 1,
        "jsonPath": ".status.lastDecision.reason"
    }"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[x_kube(validation = (
    "!has(self.coldStart) || ((!has(self.zero) || !has(self.zero.enabled) || self.zero.enabled) \
     && (!has(self.scale) || !has(self.scale.minScale) || self.scale.minScale == 0))",
    "coldStart is given, but the target never comes to zero: remove coldStart, or set \
     scale.minScale to 0 and zero.enabled to true"
))]
#[x_kube(validation = (
    "!has(self.zero) || !has(self.zero.enabled) || !self.zero.enabled || !has(self.scale) \
     || !has(self.scale.minScale) || self.scale.minScale == 0",
    "zero.enabled is true and scale.minScale is above 0: what has a minimum never comes to zero; \
     set scale.minScale to 0, or zero.enabled to false"
))]
#[serde(rename_all = "camelCase")]
pub struct TrafficScalerSpec {
    /// The workload whose replicas are set: any kind with a scale subresource whose number of
    /// replicas is its `spec.replicas`.
    #[x_kube(validation = (
        "self == oldSelf",
        "targetRef cannot be changed: delete this TrafficScaler and create one for the other target"
    ))]
    pub target_ref: TargetRef,
    /// The Service in the same namespace through which the workload receives its requests. It is
    /// never written to.
    #[x_kube(validation = (
        "self.name == oldSelf.name",
        "service cannot be changed to another: delete this TrafficScaler and create one for the \
         other Service"
    ))]
    pub service: ScaledService,
    /// What the queue-proxy beside each app lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<Sidecar>,
    /// By what, how fast and how far to scale: Knative's keys, with Knative's meanings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Whether the workload may have no replica at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero: Option<Zero>,
    /// How requests are held that come while there is no pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cold_start: Option<ColdStart>,
    /// Whose turn it is while several requests wait at an activator; by arrival by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<ActivatorQueue>,
    /// Who sets the replicas: the controller, by default, or another autoscaler by the
    /// controller's numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actuator: Option<Actuator>,
}

/// Who sets the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Actuator {
    /// The controller itself.
    #[default]
    Direct,
    /// KEDA, by a ScaledObject with an `external-push` trigger that asks the controller.
    Keda,
    /// A HorizontalPodAutoscaler, by the controller's external metrics.
    ExternalMetrics,
}

/// A workload in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Its API group and version, such as `apps/v1`.
    #[schemars(length(max = 253), regex(pattern = r"^([a-z0-9.-]+/)?v[a-z0-9]+$"))]
    pub api_version: String,
    /// Its kind, such as `Deployment`.
    #[schemars(length(max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// A Service in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRef {
    /// Its name.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// What the connections to a port carry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, JsonSchema, Serialize,
)]
pub enum PortProtocol {
    /// HTTP/1 or HTTP/2 without TLS: its requests are held, counted and balanced one by one.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// Anything else, TLS too: its connections are held and passed on as they are.
    #[serde(rename = "TCP")]
    Tcp,
}

/// The Service of a workload, in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, KubeSchema, Serialize)]
#[x_kube(validation = (
    "!has(self.ports) || self.ports.all(port, self.ports.exists_one(other, other == port))",
    "service.ports has the same port twice: name each once"
))]
#[serde(rename_all = "camelCase")]
pub struct ScaledService {
    /// Its name.
    #[schemars(length(max = 63), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Those of its ports, by number, whose requests are held and wake the workload; all TCP ports
    /// by default. While the workload is at zero, connections to the others are refused.
    #[schemars(length(min = 1, max = 32), inner(range(min = 1, max = 65_535)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<i32>>,
    /// What its ports carry, by name or number, where neither `appProtocol` nor the beginning of
    /// the port's name says it as it is: `HTTP`, the default, or `TCP` for anything else.
    #[schemars(extend("maxProperties" = 100))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub protocols: BTreeMap<String, PortProtocol>,
}

/// What the queue-proxy beside each app lets in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, KubeSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Requests that one pod works on at a time: a number, 0 for no limit, or `auto` for a limit
    /// that follows latency. No limit by default.
    #[x_kube(validation = (
        "string(self).matches('^(auto|[0-9]{1,3}|1000)$')",
        "sidecar.concurrency is a number from 0 to 1000, or auto"
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<IntOrString>,
    /// The queue of requests that wait for their turn at one pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// What a request is answered that finds the queue full, or has waited in it for too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<Overflow>,
}

/// The queue of requests that wait for their turn at one pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, KubeSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Requests that may wait; ten times the concurrency by default.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<i32>,
    /// What clients and the app can make the sidecar hold at a time, from `16Mi` on; a quarter of
    /// its memory limit by default.
    #[x_kube(validation = (
        "self.matches('^[0-9]{1,5}(Mi|Gi)$')",
        "sidecar.queue.bytes is a whole number of Mi or Gi, such as 32Mi"
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// Longest time in the queue, such as `5s`; none by default.
    #[x_kube(validation = (
        "self.matches('^([0-9]{1,6}(ms|s|m|h))+$')",
        "sidecar.queue.timeout is a time such as 500ms, 5s or 1m30s"
    ))]
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// What a request is answered that is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, KubeSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overflow {
    /// The HTTP status: 503, the default, or 429.
    #[x_kube(validation = (
        "self == 503 || self == 429",
        "sidecar.overflow.status is 503 or 429"
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<i32>,
    /// After how many seconds clients are told to try again; not told by default.
    #[schemars(range(min = 0, max = 3_600))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<i32>,
}

/// How requests are held that come while there is no pod. Each activator has a queue of its own for
/// the workload.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, KubeSchema, Serialize)]
#[x_kube(validation = (
    "has(self.depth) || has(self.timeout)",
    "coldStart says nothing: give coldStart.depth or coldStart.timeout, or remove it"
))]
#[serde(rename_all = "camelCase")]
pub struct ColdStart {
    /// Requests that one activator may hold; 10,000 by default.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<i32>,
    /// Longest time that a request is held before it is refused, such as `30s`, up to `5m`, which
    /// is the default.
    #[x_kube(validation = (
        "self.matches('^([0-9]{1,6}(ms|s|m))+$')",
        "coldStart.timeout is a time such as 500ms, 30s or 1m30s"
    ))]
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
}

/// By what, how fast and how far to scale. Each key is the annotation of
/// `autoscaling.knative.dev` of that name in camelCase.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, KubeSchema, Serialize)]
#[x_kube(validation = (
    "!has(self.minScale) || !has(self.maxScale) || self.maxScale == 0 \
     || self.minScale <= self.maxScale",
    "scale.minScale is above scale.maxScale: lower the one or raise the other; a maxScale of 0 is \
     no bound"
))]
#[x_kube(validation = (
    "!has(self.activationScale) || !has(self.maxScale) || self.maxScale == 0 \
     || self.activationScale <= self.maxScale",
    "scale.activationScale is above scale.maxScale: lower the one or raise the other; a maxScale \
     of 0 is no bound"
))]
#[x_kube(validation = (
    "!has(self.targetUtilizationPercentage) || (self.targetUtilizationPercentage >= 1.0 \
     && self.targetUtilizationPercentage <= 100.0)",
    "scale.targetUtilizationPercentage is a number from 1 to 100"
))]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// Fewest replicas; 0 by default.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_scale: Option<i32>,
    /// Most replicas; 0, the default, is no bound.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_scale: Option<i32>,
    /// Fewest replicas when there are any; 2 or more.
    #[schemars(range(min = 2, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_scale: Option<i32>,
    /// What is measured: requests in flight, the default, or requests per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// How much of it one replica should have: `sidecar.concurrency` by default, 100 without one,
    /// or 200 requests per second.
    #[schemars(range(min = 0.01))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// How much of the target to aim for, in percent; 70 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_utilization_percentage: Option<f64>,
    /// Over how long load is averaged, from `6s` to `1h`; `60s` by default.
    #[schemars(length(min = 2, max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The panic window, in percent of the stable one; 10 by default.
    #[schemars(range(min = 1.0, max = 100.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_window_percentage: Option<f64>,
    /// Load over capacity, in percent, from which to panic; 200 by default.
    #[schemars(range(min = 110.0, max = 1000.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_threshold_percentage: Option<f64>,
    /// How long a smaller number must be recommended before it is applied, up to `1h`.
    #[schemars(length(min = 1, max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_delay: Option<String>,
    /// How seconds become one number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_aggregation_algorithm: Option<Aggregation>,
    /// Whether to decide exactly as Knative does, or with Tidegate's improvements, the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub enum Metric {
    /// Requests in flight.
    #[serde(rename = "concurrency")]
    Concurrency,
    /// Requests per second.
    #[serde(rename = "rps")]
    RequestsPerSecond,
}

/// How seconds become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Each second counts the same.
    Linear,
    /// Later seconds count more.
    WeightedExponential,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Knative's algorithm with Tidegate's improvements.
    Tidegate,
    /// Exactly what Knative would decide.
    Knative,
}

/// Whether the workload may have no replica at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Zero {
    /// Whether it may: it may by default, unless there is a `scale.minScale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long the last replica stays at least, up to `1h`: Knative's
    /// `scale-to-zero-pod-retention-period`.
    #[schemars(length(min = 1, max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_retention_period: Option<String>,
}

/// What the controller does, and why.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficScalerStatus {
    /// The generation of the object that this status is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where requests go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Replicas that the target is set to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Desired replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// The last decision that changed the desired replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The ports of the activators that belong to this object's Service, one for each port of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activator_ports: Vec<ActivatorPort>,
    /// `Ready`, `Adopted`, `SidecarInjected`, `ScaledToZero`, `Conflict`.
    #[schemars(extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]
    ))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
pub enum Mode {
    /// To the pods.
    Warm,
    /// To the pods and the activators, on the way to zero.
    Draining,
    /// To the activators, which hold them.
    Zero,
    /// To the activators and the pods, on the way from zero.
    Activating,
    /// Nowhere: the target was set to zero outside of Tidegate, which is respected.
    Suspended,
}

/// A decision and its reason.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When it was made.
    pub time: Time,
    /// Desired replicas from then on.
    pub replicas: i32,
    /// Why, in a few sentences.
    pub reason: String,
}

/// A port of the activators that takes the requests of one port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActivatorPort {
    /// The Service's port.
    pub service_port: i32,
    /// The activators' port.
    pub activator_port: i32,
    /// What its connections are taken to carry.
    #[serde(default)]
    pub protocol: PortProtocol,
}
