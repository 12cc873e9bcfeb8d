//! A `TrafficScaler`'s settings for the decision library.

use std::time::Duration;

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{ActivatorPorts, Declaration, HoldBounds, RevisionId, Template};
use tidegate_kubernetes_objects::TrafficScalerSpec;
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
    Ok(Declaration { activator_ports, hold, ..declared })
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
