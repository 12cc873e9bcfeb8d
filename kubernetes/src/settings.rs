//! A `TrafficScaler`'s settings for the decision library.

use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_controller::{ActivatorPorts, Declaration, RevisionId, Template};
use tidegate_kubernetes_objects::TrafficScalerSpec;

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
    Ok(Declaration { activator_ports, ..declared })
}
