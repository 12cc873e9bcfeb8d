//! What `ScaleService` tells, as messages.

use tidegate_autoscaler::ScalingMetric;
use tidegate_proto::scale::v1 as wire;

use crate::declaration::{Declaration, PolicyChoice};
use crate::instance::Phase;
use crate::journal::DecisionRecord;
use crate::overview::Overview;
use crate::status::{InstanceStatus, RevisionStatus};

/// A revision, with its numbers.
pub(super) fn status(status: RevisionStatus, numbers: &Overview) -> wire::RevisionStatus {
    wire::RevisionStatus {
        namespace: status.revision.namespace().to_owned(),
        name: status.revision.name().to_owned(),
        desired: status.desired,
        ready: status.ready,
        starting: status.starting,
        draining: status.draining,
        in_panic: status.in_panic,
        stable_concurrency: status.stable_concurrency,
        panic_concurrency: status.panic_concurrency,
        waiting: status.waiting,
        in_flight: status.in_flight,
        last_reason: status.last_reason,
        site: String::new(),
        frozen: status.frozen,
        finished: numbers.finished,
        failed: numbers.failed,
        is_hindered: numbers.is_hindered,
        min: numbers.bounds.0,
        max: numbers.bounds.1,
        is_pinned: numbers.is_pinned,
        target: status.target,
        container_concurrency: numbers.container_concurrency,
        decisions: numbers.decisions,
    }
}

/// A decision, with its number among those of its revision.
pub(super) fn decision(number: u64, record: &DecisionRecord) -> wire::Decision {
    wire::Decision {
        namespace: record.revision.namespace().to_owned(),
        name: record.revision.name().to_owned(),
        unix_ms: record.unix_ms,
        desired: record.replicas(),
        excess_burst_capacity: record.excess_burst_capacity(),
        reason: record.to_string(),
        explanation_json: record.json(),
        provisional: record.provisional.is_some(),
        site: String::new(),
        before: record.before,
        in_panic: record.in_panic(),
        number,
    }
}

/// An instance.
pub(super) fn instance(status: &InstanceStatus) -> wire::InstanceStatus {
    let phase = match status.phase {
        Phase::Starting => wire::InstancePhase::Starting,
        Phase::Ready => wire::InstancePhase::Ready,
        Phase::Unready => wire::InstancePhase::Unready,
        Phase::Draining => wire::InstancePhase::Draining,
        Phase::Freezing | Phase::Frozen => wire::InstancePhase::Frozen,
    };
    wire::InstanceStatus {
        name: status.name.to_string(),
        phase: phase.into(),
        in_flight: status.in_flight,
    }
}

/// What Knative's algorithm computes decisions from, where it is what decides.
pub(super) fn settings(declaration: &Declaration) -> Option<wire::Settings> {
    let PolicyChoice::Knative(settings) = &declaration.policy else { return None };
    let spec = &settings.spec;
    Some(wire::Settings {
        by_request_rate: spec.scaling_metric == ScalingMetric::RequestRate,
        target: spec.target_value,
        total: spec.total_value,
        stable_window_ms: spec.stable_window_ms,
        panic_threshold: spec.panic_threshold,
        max_scale_up_rate: spec.max_scale_up_rate,
        max_scale_down_rate: spec.max_scale_down_rate,
        scale_down_delay_ms: spec.scale_down_delay_ms,
        target_burst_capacity: spec.target_burst_capacity,
        activation_scale: spec.activation_scale,
    })
}
