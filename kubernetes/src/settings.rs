//! A `TrafficScaler`'s settings for the decision library.

use std::num::NonZeroU16;
use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{
    ActivatorPorts, Declaration, HoldBounds, QueueClass, QueueOrder, QueueRules, RevisionId,
    Template,
};
use tidegate_kubernetes_objects::TrafficScalerSpec;
use tidegate_kubernetes_objects::activator_queue::{self as wanted, ActivatorQueue};
use tidegate_kubernetes_objects::traffic_scaler::ColdStart;
use tidegate_words::{excerpt, parse_duration};

use crate::world::ObjectKey;

/// How the pods of a target are to be scaled. Their queue-proxies report for a revision of the
/// target's namespace and name. Its requests come in at every activator as `activator_ports` say.
///
/// # Errors
/// Everything that is wrong with the settings, in the words of the settings.
pub fn declaration(
    target: &ObjectKey,
    spec: &TrafficScalerSpec,
    activator_ports: ActivatorPorts,
) -> Result<Declaration, String> {
    let id = RevisionId::new(&target.namespace, &target.name).map_err(|error| error.to_string())?;
    let improvements = match spec.decides_like_knative() {
        true => Improvements::none(),
        false => Improvements::all(),
    };
    let config = Config::from_map(&spec.config(), Strictness::Strict);
    let config = config.map_err(|violations| violations.to_string())?;
    let template = Template { config, annotations: spec.annotations(), improvements };
    let declared = template.declare(id, spec.container_concurrency());
    let declared = declared.map_err(|violations| violations.to_string())?;
    let hold = hold_bounds(spec.cold_start.as_ref())?;
    let queue = spec.queue.as_ref().map(queue_rules).unwrap_or_default();
    Ok(Declaration { activator_ports, hold, queue, ..declared })
}

/// Whose turn it is at activators. The rules of the kind have seen to it that the parts fit; what
/// they let through all the same, an activator says that it cannot follow.
fn queue_rules(queue: &ActivatorQueue) -> QueueRules {
    let ActivatorQueue { order, fair_by, classes, class_header } = queue.clone();
    let class = |class: wanted::QueueClass| {
        let weight = u16::try_from(class.weight).ok().and_then(NonZeroU16::new)?;
        Some(QueueClass { name: class.name, weight })
    };
    QueueRules {
        order: order.map(|order| match order {
            wanted::QueueOrder::Arrival => QueueOrder::Arrival,
            wanted::QueueOrder::Deadline => QueueOrder::Deadline,
            wanted::QueueOrder::Fair => QueueOrder::FairBy(fair_by.unwrap_or_default()),
        }),
        classes: classes.into_iter().flatten().filter_map(class).collect(),
        class_header,
    }
}

/// Longest time that a request may be held, which is also what activators are configured with.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// How activators hold its requests; what is not said is theirs to choose.
fn hold_bounds(cold_start: Option<&ColdStart>) -> Result<HoldBounds, String> {
    let Some(ColdStart { depth, timeout }) = cold_start else { return Ok(HoldBounds::default()) };
    let max_waiting = depth.map_or(0, |depth| u32::try_from(depth).unwrap_or(0));
    let longest_wait_ms = match timeout.as_deref() {
        None => 0,
        Some(text) => {
            let expected = "a time from 1ms to 5m";
            let wrong = || format!("coldStart.timeout: '{}', expected {expected}", excerpt(text));
            let wait = parse_duration(text).map_err(|_| wrong())?;
            let millis = u32::try_from(wait.as_millis()).map_err(|_| wrong())?;
            if millis == 0 || wait > LONGEST_HOLD {
                return Err(wrong());
            }
            millis
        }
    };
    Ok(HoldBounds { max_waiting, longest_wait_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(depth: Option<i32>, timeout: Option<&str>) -> Result<HoldBounds, String> {
        hold_bounds(Some(&ColdStart { depth, timeout: timeout.map(str::to_owned) }))
    }

    #[test]
    fn whose_turn_it_is_becomes_the_queues_rules() {
        let queue: ActivatorQueue = serde_json::from_value(serde_json::json!({
            "order": "fair",
            "fairBy": "header:x-user",
            "classes": [{"name": "gold", "weight": 10}, {"name": "other", "weight": 1}],
            "classHeader": "x-plan",
        }))
        .expect("as users write it");
        let rules = queue_rules(&queue);
        assert_eq!(rules.order, Some(QueueOrder::FairBy("header:x-user".into())));
        let classes: Vec<_> =
            rules.classes.iter().map(|class| (&*class.name, class.weight.get())).collect();
        assert_eq!(classes, [("gold", 10), ("other", 1)]);
        assert_eq!(rules.class_header.as_deref(), Some("x-plan"));
        assert_eq!(queue_rules(&ActivatorQueue::default()), QueueRules::default());
    }

    #[test]
    fn what_is_not_said_is_the_activators_to_choose() {
        assert_eq!(hold_bounds(None), Ok(HoldBounds::default()));
        let wanted = HoldBounds { max_waiting: 7, longest_wait_ms: 0 };
        assert_eq!(bounds(Some(7), None), Ok(wanted));
        let wanted = HoldBounds { max_waiting: 0, longest_wait_ms: 90_000 };
        assert_eq!(bounds(None, Some("1m30s")), Ok(wanted));
        for wrong in ["6m", "0s", "soon", "2h"] {
            let told = bounds(None, Some(wrong)).expect_err("it is refused");
            assert!(told.contains("coldStart.timeout") && told.contains("5m"), "{told}");
        }
    }
}
