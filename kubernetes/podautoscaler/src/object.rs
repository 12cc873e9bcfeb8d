//! What is read of Knative's objects.
//!
//! Whatever an object holds, this never fails as a whole: what cannot be read of one object is that
//! object's trouble.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::settings::Reachability;
use tidegate_kubernetes_objects::store::{ObjectKey, Version, Versioned};

use crate::condition::{Condition, ConditionStatus};
use crate::names::{CLASS_ANNOTATION, REVISION_LABEL};

/// Labels or annotations.
pub type Texts = BTreeMap<String, String>;

/// A `PodAutoscaler`: what of a revision is to be scaled, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PodAutoscaler {
    /// Its identity.
    pub uid: String,
    /// The version that was seen.
    pub version: Version,
    /// The generation of its spec.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deletion: Deletion,
    /// Its labels.
    pub labels: Texts,
    /// Its annotations.
    pub annotations: Texts,
    /// Requests at once that one container takes; 0 for no limit.
    pub container_concurrency: u32,
    /// Whether a route leads to the revision.
    pub reachability: Reachability,
    /// `http1` or `h2c`.
    pub protocol: String,
    /// What is scaled, as the object names it.
    pub target_reference: Value,
    /// What was last written about it.
    pub status: PodAutoscalerStatus,
}

/// Whether an object is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is.
    Begun,
    /// It is not.
    None,
}

/// What is written about a PodAutoscaler.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodAutoscalerStatus {
    /// The generation that it is about.
    pub observed_generation: i64,
    /// Conditions by type.
    pub conditions: BTreeMap<String, Condition>,
    /// The Service that carries requests.
    pub service_name: String,
    /// The Service of the pods alone.
    pub metrics_service_name: String,
    /// Replicas wanted; -1 when nothing is decided.
    pub desired_scale: Option<i32>,
    /// Replicas ready.
    pub actual_scale: Option<i32>,
}

/// A `ServerlessService`: the way that a revision's requests take.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerlessService {
    /// The version that was seen.
    pub version: Version,
    /// The identity of the object that controls it.
    pub controller_uid: String,
    /// Its spec.
    pub spec: Value,
    /// The Service that carries requests; empty until there is one.
    pub service_name: String,
    /// The Service of the pods alone; empty until there is one.
    pub private_service_name: String,
    /// Whether it is ready, for its present spec.
    pub ready: ConditionStatus,
    /// Why it is not.
    pub message: String,
    /// Since when requests go through activators, if they do.
    pub activator_since: Option<Timestamp>,
}

/// A `Metric`: over which windows a revision is measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The version that was seen.
    pub version: Version,
    /// The identity of the object that controls it.
    pub controller_uid: String,
    /// Its spec.
    pub spec: Value,
}

/// A Deployment of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The version that was seen.
    pub version: Version,
    /// Replicas asked for.
    pub replicas: i32,
    /// The revision.
    pub revision: ObjectKey,
}

/// A pod of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The version that was seen.
    pub version: Version,
    /// The revision.
    pub revision: ObjectKey,
    /// Where it is reached, when it is ready and not being deleted.
    pub ready: Option<IpAddr>,
    /// When it was started.
    pub started: Timestamp,
}

/// A ConfigMap of Knative's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// The version that was seen.
    pub version: Version,
    /// Its data.
    pub data: Texts,
}

macro_rules! versioned {
    ($($kind:ty),+) => {
        $(impl Versioned for $kind {
            fn version(&self) -> &Version {
                &self.version
            }
        })+
    };
}

versioned!(PodAutoscaler, ServerlessService, Metric, Deployment, Pod, ConfigMap);

/// A ConfigMap.
#[must_use]
pub fn config_map(object: &Value) -> ConfigMap {
    ConfigMap { version: version(object), data: texts(object, "/data") }
}

/// Where an object lies.
#[must_use]
pub fn key(object: &Value) -> Option<ObjectKey> {
    let name = text(object, "/metadata/name")?;
    Some(ObjectKey::new(text(object, "/metadata/namespace")?, name))
}

/// A PodAutoscaler.
#[must_use]
pub fn pod_autoscaler(object: &Value) -> PodAutoscaler {
    let int = |path: &str| object.pointer(path).and_then(Value::as_i64);
    let scale = |path: &str| int(path).and_then(|scale| i32::try_from(scale).ok());
    let concurrency = int("/spec/containerConcurrency").unwrap_or(0);
    PodAutoscaler {
        uid: owned(object, "/metadata/uid"),
        version: version(object),
        generation: int("/metadata/generation").unwrap_or(0),
        deletion: match text(object, "/metadata/deletionTimestamp") {
            Some(_) => Deletion::Begun,
            None => Deletion::None,
        },
        labels: texts(object, "/metadata/labels"),
        annotations: texts(object, "/metadata/annotations"),
        container_concurrency: u32::try_from(concurrency).unwrap_or(0),
        reachability: match text(object, "/spec/reachability") {
            Some("Reachable") => Reachability::Reachable,
            Some("Unreachable") => Reachability::Unreachable,
            _ => Reachability::Unknown,
        },
        protocol: owned(object, "/spec/protocolType"),
        target_reference: object.pointer("/spec/scaleTargetRef").cloned().unwrap_or_default(),
        status: PodAutoscalerStatus {
            observed_generation: int("/status/observedGeneration").unwrap_or(0),
            conditions: conditions(object),
            service_name: owned(object, "/status/serviceName"),
            metrics_service_name: owned(object, "/status/metricsServiceName"),
            desired_scale: scale("/status/desiredScale"),
            actual_scale: scale("/status/actualScale"),
        },
    }
}

impl PodAutoscaler {
    /// The class that it is of.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        self.annotations.get(CLASS_ANNOTATION).map(String::as_str)
    }

    /// The Deployment that it scales, in `namespace`.
    ///
    /// # Errors
    /// What it names instead.
    pub fn deployment(&self, namespace: &str) -> Result<ObjectKey, String> {
        let at = |field: &str| text(&self.target_reference, field).unwrap_or_default();
        let (api_version, kind, name) = (at("/apiVersion"), at("/kind"), at("/name"));
        match (api_version, kind) {
            ("apps/v1", "Deployment") if !name.is_empty() => Ok(ObjectKey::new(namespace, name)),
            _ => Err(format!(
                "spec.scaleTargetRef is a {kind} of {api_version:?}; this class scales a \
                 Deployment of \"apps/v1\", which is what Knative makes for a revision"
            )),
        }
    }
}

/// A ServerlessService.
#[must_use]
pub fn serverless_service(object: &Value) -> ServerlessService {
    let conditions = conditions(object);
    let generation = |path: &str| object.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let is_current = generation("/metadata/generation") == generation("/status/observedGeneration");
    let ready = conditions.get("Ready");
    let in_path = conditions.get("ActivatorEndpointsPopulated");
    let in_path = in_path.filter(|condition| condition.status == ConditionStatus::True);
    ServerlessService {
        version: version(object),
        controller_uid: controller_uid(object),
        spec: object.get("spec").cloned().unwrap_or_default(),
        service_name: owned(object, "/status/serviceName"),
        private_service_name: owned(object, "/status/privateServiceName"),
        ready: match ready {
            Some(condition) if is_current => condition.status,
            _ => ConditionStatus::Unknown,
        },
        message: ready.map(|condition| condition.message.clone()).unwrap_or_default(),
        activator_since: in_path.map(|condition| condition.since),
    }
}

/// A Metric.
#[must_use]
pub fn metric(object: &Value) -> Metric {
    Metric {
        version: version(object),
        controller_uid: controller_uid(object),
        spec: object.get("spec").cloned().unwrap_or_default(),
    }
}

/// A Deployment; `None` for one of no revision.
#[must_use]
pub fn deployment(object: &Value) -> Option<Deployment> {
    Some(Deployment {
        version: version(object),
        // A Deployment that says nothing has one replica.
        replicas: replicas(object).unwrap_or(1),
        revision: revision(object)?,
    })
}

/// The replicas in the response to a patch of them; a `Scale` leaves out zero.
#[must_use]
pub fn scaled(object: &Value) -> (Version, i32) {
    (version(object), replicas(object).unwrap_or(0))
}

/// A pod; `None` for one of no revision.
#[must_use]
pub fn pod(object: &Value) -> Option<Pod> {
    let is_ready = conditions(object).get("Ready").map(|c| c.status) == Some(ConditionStatus::True);
    let runs = text(object, "/status/phase") == Some("Running");
    let stays = text(object, "/metadata/deletionTimestamp").is_none();
    let address = text(object, "/status/podIP").and_then(|ip| ip.parse::<IpAddr>().ok());
    Some(Pod {
        version: version(object),
        revision: revision(object)?,
        ready: address.filter(|_| is_ready && runs && stays),
        started: time(object, "/status/startTime").unwrap_or(Timestamp::EPOCH),
    })
}

/// A text of the object as an owned one; empty where there is none.
fn owned(object: &Value, path: &str) -> String {
    text(object, path).unwrap_or_default().to_owned()
}

fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

fn texts(object: &Value, path: &str) -> Texts {
    let all = object.pointer(path).and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn version(object: &Value) -> Version {
    Version(owned(object, "/metadata/resourceVersion"))
}

fn replicas(object: &Value) -> Option<i32> {
    let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64);
    replicas.and_then(|replicas| i32::try_from(replicas).ok())
}

fn revision(object: &Value) -> Option<ObjectKey> {
    let labels = object.pointer("/metadata/labels")?;
    let name = labels.get(REVISION_LABEL).and_then(Value::as_str)?;
    Some(ObjectKey::new(text(object, "/metadata/namespace")?, name))
}

fn controller_uid(object: &Value) -> String {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let is_controller = |owner: &&Value| owner.get("controller") == Some(&Value::Bool(true));
    let controller = owners.into_iter().flatten().find(is_controller);
    controller.map(|owner| owned(owner, "/uid")).unwrap_or_default()
}

fn time(object: &Value, path: &str) -> Option<Timestamp> {
    let at = text(object, path)?.parse::<jiff::Timestamp>().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

fn conditions(object: &Value) -> BTreeMap<String, Condition> {
    let all = object.pointer("/status/conditions").and_then(Value::as_array);
    let read = |condition: &Value| {
        let read = Condition {
            status: match text(condition, "/status") {
                Some("True") => ConditionStatus::True,
                Some("False") => ConditionStatus::False,
                _ => ConditionStatus::Unknown,
            },
            reason: owned(condition, "/reason"),
            message: owned(condition, "/message"),
            since: time(condition, "/lastTransitionTime").unwrap_or(Timestamp::EPOCH),
        };
        Some((text(condition, "/type")?.to_owned(), read))
    };
    all.into_iter().flatten().filter_map(read).collect()
}
