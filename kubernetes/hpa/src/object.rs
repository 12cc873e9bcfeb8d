//! What of a HorizontalPodAutoscaler matters, read from `autoscaling/v2`.

use serde::Serialize;
use serde_json::Value;

use crate::quantity::{Milli, number};

/// Metrics of one object: the API server takes no more than a few dozen in a megabyte, and each is
/// a line of the explanation.
const METRICS_MAX: usize = 1_000;

/// Why an object cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is something else.
    #[error(
        "expected a HorizontalPodAutoscaler of autoscaling/v2, as `kubectl get hpa NAME -o yaml` \
         prints it, but this is {0}"
    )]
    NotAnHpa(String),
    /// A field is missing or is of another type.
    #[error("the HorizontalPodAutoscaler has no usable {0}")]
    Field(String),
    /// The autoscaler has not looked at it.
    #[error(
        "the HorizontalPodAutoscaler has no status yet: the autoscaler looks at it every 15 s \
         unless kube-controller-manager is told otherwise; get it again"
    )]
    NoStatus,
}

/// A HorizontalPodAutoscaler.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hpa {
    /// Its namespace; empty where the text has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it scales, as `KIND/NAME`.
    pub target: String,
    /// Fewest replicas.
    pub min_replicas: i32,
    /// Most replicas.
    pub max_replicas: i32,
    /// What it scales by, with what was read last.
    pub metrics: Vec<Metric>,
    /// How fast it may scale, where that is said.
    pub behavior: Option<Behavior>,
    /// Replicas that its last look found.
    pub current_replicas: i32,
    /// Replicas that its last look set, or left.
    pub desired_replicas: i32,
    /// When it scaled last, as the object says it.
    pub last_scale_time: Option<String>,
    /// What it says of itself.
    pub conditions: Vec<Condition>,
}

/// A metric that is scaled by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Where it comes from.
    pub source: Source,
    /// Its name, such as `cpu`.
    pub name: String,
    /// What it is to be.
    pub target: Target,
    /// What it was at the last look, in the unit of the target; `None` where it could not be had.
    pub current: Option<i64>,
}

/// Where a metric comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The metrics API, over all containers of a pod.
    Resource,
    /// The metrics API, of one container.
    ContainerResource,
    /// The custom metrics API, of each pod.
    Pods,
    /// The custom metrics API, of another object.
    Object,
    /// The external metrics API.
    External,
}

impl Source {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Resource, "Resource", "resource"),
        (Self::ContainerResource, "ContainerResource", "containerResource"),
        (Self::Pods, "Pods", "pods"),
        (Self::Object, "Object", "object"),
        (Self::External, "External", "external"),
    ];

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(source, _, _)| *source == self).map_or("", |(_, name, _)| name)
    }

    /// Whether a value of each pod is read, so that pods without one matter.
    #[must_use]
    pub fn is_per_pod(self) -> bool {
        matches!(self, Self::Resource | Self::ContainerResource | Self::Pods)
    }
}

/// What a metric is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Target {
    /// So many percent of what the pods request, on average.
    Utilization(i64),
    /// This much for each replica.
    AverageValue(Milli),
    /// This much in all.
    Value(Milli),
}

impl Target {
    /// The number that ratios are made with.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Utilization(percent) => percent,
            Self::AverageValue(Milli(milli)) | Self::Value(Milli(milli)) => milli,
        }
    }
}

/// How fast it may scale.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Behavior {
    /// Upwards.
    pub up: Rules,
    /// Downwards.
    pub down: Rules,
}

/// How fast it may scale in one direction.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Rules {
    /// For how long recommendations are remembered.
    pub stabilization_window_seconds: Option<i64>,
    /// Which of several policies counts.
    pub select: Select,
    /// How far one step may go.
    pub policies: Vec<Policy>,
    /// How far a ratio may be from 1 without effect, where this object says so.
    pub tolerance: Option<f64>,
}

/// Which of several policies counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum Select {
    /// The one that allows the largest change.
    #[default]
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: there is no scaling in this direction.
    Disabled,
}

/// How far one step may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Replicas, or percent of them.
    pub unit: PolicyUnit,
    /// How many.
    pub value: i32,
    /// Within how many seconds.
    pub period_seconds: i64,
}

/// What a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum PolicyUnit {
    /// Replicas.
    Pods,
    /// Percent of the replicas there were.
    Percent,
}

/// What an HPA says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// `AbleToScale`, `ScalingActive`, `ScalingLimited`, `ScaledToZero`.
    pub name: String,
    /// Whether it is true.
    pub is_true: bool,
    /// In one word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

impl Hpa {
    /// Reads an object.
    ///
    /// # Errors
    /// It is another object, or the autoscaler has not looked at it yet.
    pub fn read(object: &Value) -> Result<Self, ReadError> {
        let kind = text(object, "/kind").unwrap_or("nothing with a kind");
        let version = text(object, "/apiVersion").unwrap_or_default();
        if kind != "HorizontalPodAutoscaler" || version != "autoscaling/v2" {
            let found = format!("{kind} {version}").trim().to_owned();
            return Err(ReadError::NotAnHpa(found));
        }
        let status = object.get("status").and_then(Value::as_object);
        if status.is_none_or(|status| !status.contains_key("desiredReplicas")) {
            return Err(ReadError::NoStatus);
        }
        let missing = |field: &str| ReadError::Field(field.to_owned());
        let required = |path: &str| int(object, path).ok_or_else(|| missing(path));
        let named = |path: &str| text(object, path).ok_or_else(|| missing(path));
        let kind = named("/spec/scaleTargetRef/kind")?;
        let scaled = named("/spec/scaleTargetRef/name")?;
        Ok(Self {
            namespace: text(object, "/metadata/namespace").unwrap_or_default().to_owned(),
            name: named("/metadata/name")?.to_owned(),
            target: format!("{kind}/{scaled}"),
            min_replicas: int(object, "/spec/minReplicas").unwrap_or(1),
            max_replicas: required("/spec/maxReplicas")?,
            metrics: metrics(object)?,
            behavior: object.pointer("/spec/behavior").map(behavior),
            current_replicas: int(object, "/status/currentReplicas").unwrap_or(0),
            desired_replicas: int(object, "/status/desiredReplicas").unwrap_or(0),
            last_scale_time: text(object, "/status/lastScaleTime").map(str::to_owned),
            conditions: list(object, "/status/conditions").map(condition).collect(),
        })
    }

    /// A condition, if it is there.
    #[must_use]
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.name == name)
    }
}

fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

fn int(object: &Value, path: &str) -> Option<i32> {
    object.pointer(path).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok())
}

fn list<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// A quantity is a text, but a whole number may be written as one.
fn quantity(object: &Value, path: &str) -> Option<Milli> {
    match object.pointer(path)? {
        Value::String(text) => Milli::parse(text),
        Value::Number(number) => Milli::parse(&number.to_string()),
        _ => None,
    }
}

/// The metrics of the spec, each with the status of the same place in the list.
fn metrics(object: &Value) -> Result<Vec<Metric>, ReadError> {
    let seen: Vec<&Value> = list(object, "/status/currentMetrics").collect();
    let specs = list(object, "/spec/metrics").take(METRICS_MAX).enumerate();
    let read = specs.map(|(index, spec)| {
        metric(spec, seen.get(index).copied())
            .ok_or_else(|| ReadError::Field(format!("/spec/metrics/{index}")))
    });
    read.collect()
}

fn metric(spec: &Value, seen: Option<&Value>) -> Option<Metric> {
    let kind = text(spec, "/type")?;
    let (source, _, field) = Source::ALL.into_iter().find(|(_, name, _)| *name == kind)?;
    let spec = spec.get(field)?;
    let (target, read) = target(spec)?;
    // One that could not be had has a status without its part.
    let seen = seen.filter(|seen| text(seen, "/type") == Some(kind)).and_then(|s| s.get(field));
    let current = seen.and_then(|seen| match read {
        "averageUtilization" => seen.pointer("/current/averageUtilization")?.as_i64(),
        read => quantity(seen, &format!("/current/{read}")).map(|Milli(milli)| milli),
    });
    let name = text(spec, "/name").or(text(spec, "/metric/name"))?.to_owned();
    Some(Metric { source, name, target, current })
}

/// A target, and the field of the status that is compared with it.
fn target(spec: &Value) -> Option<(Target, &'static str)> {
    match text(spec, "/target/type")? {
        "Utilization" => {
            let percent = spec.pointer("/target/averageUtilization")?.as_i64()?;
            Some((Target::Utilization(percent), "averageUtilization"))
        }
        "AverageValue" => {
            let value = quantity(spec, "/target/averageValue")?;
            Some((Target::AverageValue(value), "averageValue"))
        }
        _ => Some((Target::Value(quantity(spec, "/target/value")?), "value")),
    }
}

fn behavior(object: &Value) -> Behavior {
    let rules = |direction: &str| object.get(direction).map(rules);
    Behavior {
        up: rules("scaleUp").unwrap_or_default(),
        down: rules("scaleDown").unwrap_or_default(),
    }
}

fn rules(object: &Value) -> Rules {
    Rules {
        stabilization_window_seconds: object
            .get("stabilizationWindowSeconds")
            .and_then(Value::as_i64),
        select: match text(object, "/selectPolicy") {
            Some("Min") => Select::Min,
            Some("Disabled") => Select::Disabled,
            _ => Select::Max,
        },
        policies: list(object, "/policies").filter_map(policy).collect(),
        tolerance: match object.get("tolerance") {
            Some(Value::String(text)) => number(text),
            Some(Value::Number(number)) => number.as_f64(),
            _ => None,
        },
    }
}

fn policy(object: &Value) -> Option<Policy> {
    let unit = match text(object, "/type")? {
        "Pods" => PolicyUnit::Pods,
        _ => PolicyUnit::Percent,
    };
    let period_seconds = object.get("periodSeconds").and_then(Value::as_i64).unwrap_or(0);
    Some(Policy { unit, value: int(object, "/value")?, period_seconds })
}

fn condition(object: &Value) -> Condition {
    let said = |field: &str| text(object, field).unwrap_or_default().to_owned();
    Condition {
        name: said("/type"),
        is_true: text(object, "/status") == Some("True"),
        reason: said("/reason"),
        message: said("/message"),
    }
}
