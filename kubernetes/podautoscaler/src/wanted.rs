//! What a step comes to: the objects of Knative's as they are to be.

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::lifecycle::{ActiveReason, ActiveStatus, Step};
use tidegate_kubernetes_objects::store::ObjectKey;

use crate::condition::{self, ACTIVE, ConditionStatus, INITIALIZED, SERVICE_READY};
use crate::effect::{Action, ActionStep, ProbeOrder};
use crate::object::{Metric, PodAutoscaler, PodAutoscalerStatus, ServerlessService};
use crate::request::{self, Patch};
use crate::settings::Settings;

/// What a step wants of Knative's objects.
pub(crate) struct Wanted<'a> {
    pub(crate) key: &'a ObjectKey,
    pub(crate) autoscaler: &'a PodAutoscaler,
    pub(crate) step: &'a Step,
}

impl Wanted<'_> {
    pub(crate) fn service(&self, seen: Option<&ServerlessService>) -> Option<Action> {
        let spec = request::service_spec(self.autoscaler, (self.step.mode, self.step.activators));
        if seen.is_some_and(|seen| seen.spec == spec) {
            return None;
        }
        let patch = request::apply_service(self.key, self.autoscaler, spec);
        Some(self.action(ActionStep::Service, patch))
    }

    pub(crate) fn metric(&self, settings: &Settings, seen: Option<&Metric>) -> Option<Action> {
        let spec = request::metric_spec(settings);
        if seen.is_some_and(|seen| seen.spec == spec) {
            return None;
        }
        let patch = request::apply_metric(self.key, self.autoscaler, spec);
        Some(self.action(ActionStep::Metric, patch))
    }

    fn action(&self, step: ActionStep, patch: Patch) -> Action {
        let reason = self.step.to_string();
        Action { revision: self.key.clone(), step, patch, reason }
    }

    pub(crate) fn probe(&self, service: &str) -> ProbeOrder {
        const HTTP_PORT: u16 = 80;
        const HTTP2_PORT: u16 = 81;
        let port = if self.autoscaler.protocol == "h2c" { HTTP2_PORT } else { HTTP_PORT };
        let service = ObjectKey::new(&self.key.namespace, service);
        ProbeOrder { revision: self.key.clone(), service, port }
    }

    pub(crate) fn status(
        &self,
        service: Option<&ServerlessService>,
        now: Timestamp,
    ) -> PodAutoscalerStatus {
        let mut status = self.autoscaler.status.clone();
        let step = self.step;
        status.observed_generation = self.autoscaler.generation;
        status.desired_scale = Some(step.desired);
        status.actual_scale = Some(step.actual);
        if let Some(service) = service {
            status.service_name.clone_from(&service.service_name);
            status.metrics_service_name.clone_from(&service.private_service_name);
        }
        let conditions = &mut status.conditions;
        let active = match step.active.status {
            ActiveStatus::True => ConditionStatus::True,
            ActiveStatus::False => ConditionStatus::False,
            ActiveStatus::Unknown => ConditionStatus::Unknown,
        };
        let reason = step.active.reason;
        let why = (&*reason.to_string(), message(reason));
        condition::set(conditions, (ACTIVE, active), why, step.active.since);
        if step.initialized {
            condition::set(conditions, (INITIALIZED, ConditionStatus::True), ("", ""), now);
        }
        let (ready, message) = match service {
            Some(service) if !service.private_service_name.is_empty() => {
                (service.ready, service.message.as_str())
            }
            _ => (ConditionStatus::Unknown, "No Private Service Name"),
        };
        match ready {
            ConditionStatus::True => {
                condition::set(conditions, (SERVICE_READY, ready), ("", ""), now);
            }
            _ => {
                let unknown = (SERVICE_READY, ConditionStatus::Unknown);
                condition::set(conditions, unknown, ("NotReady", message), now);
            }
        }
        condition::sum_up(conditions, now);
        status
    }
}

/// What Knative says to these reasons: whoever reads a revision's conditions finds the same.
fn message(reason: ActiveReason) -> &'static str {
    match reason {
        ActiveReason::None => "",
        ActiveReason::Queued => {
            "Requests to the target are being buffered as resources are provisioned."
        }
        ActiveReason::NoTraffic => "The target is not receiving traffic.",
        ActiveReason::TimedOut => "The target could not be activated.",
    }
}

/// Writes a status, if it is another than was seen.
pub(crate) fn status_action(
    key: &ObjectKey,
    autoscaler: &PodAutoscaler,
    status: &PodAutoscalerStatus,
) -> Option<Action> {
    (*status != autoscaler.status).then(|| Action {
        revision: key.clone(),
        step: ActionStep::Status,
        patch: request::status(key, status),
        reason: String::new(),
    })
}

/// The kind of an object in the place of ours that another controls.
pub(crate) fn foreign(
    autoscaler: &PodAutoscaler,
    service: Option<&ServerlessService>,
    metric: Option<&Metric>,
) -> Option<&'static str> {
    let is_foreign = |controller: &String| *controller != autoscaler.uid;
    if service.map(|service| &service.controller_uid).is_some_and(is_foreign) {
        return Some("ServerlessService");
    }
    metric.map(|metric| &metric.controller_uid).is_some_and(is_foreign).then_some("Metric")
}

/// What is said where an object in the place of ours is controlled by another.
pub(crate) fn not_owned(
    autoscaler: &PodAutoscaler,
    key: &ObjectKey,
    kind: &str,
    now: Timestamp,
) -> PodAutoscalerStatus {
    let mut status = autoscaler.status.clone();
    status.observed_generation = autoscaler.generation;
    let message = format!("There is an existing {kind} \"{}\" that we do not own.", key.name);
    let active = (ACTIVE, ConditionStatus::False);
    condition::set(&mut status.conditions, active, ("NotOwned", &message), now);
    condition::sum_up(&mut status.conditions, now);
    status
}
