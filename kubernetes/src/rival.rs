//! Who else scales workloads: HorizontalPodAutoscalers and KEDA's ScaledObjects.
//!
//! Beside a scaler whose `actuator` is the controller itself they are a conflict; beside any other
//! they are who sets the replicas.

use tidegate_kubernetes_objects::traffic_scaler::Actuator;

use crate::world::{ObjectKey, TargetKey, Version};

/// The kind that Kubernetes' own autoscaler follows.
pub const HPA_KIND: &str = "HorizontalPodAutoscaler";

/// The kind that KEDA follows.
pub const SCALED_OBJECT_KIND: &str = "ScaledObject";

/// An HPA or a ScaledObject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The version that was seen.
    pub version: Version,
    /// What it scales.
    pub target: TargetKey,
    /// Whether it may bring the target to zero.
    pub may_be_zero: bool,
}

/// Which rival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RivalKey {
    /// Its kind.
    pub kind: &'static str,
    /// Which one.
    pub object: ObjectKey,
}

/// The kind of object that has to be there for an actuator to set replicas; `None` for the
/// controller itself, which needs none.
#[must_use]
pub fn expected_kind(actuator: Actuator) -> Option<&'static str> {
    match actuator {
        Actuator::Direct => None,
        Actuator::Keda => Some(SCALED_OBJECT_KIND),
        Actuator::ExternalMetrics => Some(HPA_KIND),
    }
}
