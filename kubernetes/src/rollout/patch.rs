//! What is written to a route: two weights, and nothing else.

use serde_json::{Value, json};
use tidegate_kubernetes_objects::names::{FIELD_MANAGER, ROUTE_API_VERSION, ROUTE_PLURAL};
use tidegate_rollout::Split;

use crate::request::{ApiRequest, api};
use crate::rollout::route::{Place, Route};
use crate::world::{ObjectKey, Version};

/// Sets the weights of both backends at every place, if nothing of the route has changed since it
/// was seen.
///
/// `backendRefs` is an atomic list, so that server-side apply could only own all of it, ports and
/// filters too: a JSON patch names the weights alone. That the indexes are those of our backends is
/// tested besides, should a server ever not look at the version.
pub(super) fn weights(
    key: &ObjectKey,
    route: &Route,
    places: &[Place],
    split: Split,
) -> ApiRequest {
    let Version(version) = &route.version;
    let mut operations =
        vec![json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version})];
    for place in places {
        let shares = [(place.stable, split.stable_revision()), (place.new, split.new_revision())];
        for (index, weight) in shares {
            let backend = format!("/spec/rules/{}/backendRefs/{index}", place.rule);
            let name = route.rules.get(place.rule).and_then(|rule| rule.get(index));
            let name = name.and_then(|backend| backend.service.as_deref());
            operations
                .push(json!({"op": "test", "path": format!("{backend}/name"), "value": name}));
            // To add what is there already is to replace it.
            let weight = weight.permille();
            operations
                .push(json!({"op": "add", "path": format!("{backend}/weight"), "value": weight}));
        }
    }
    let ObjectKey { namespace, name } = key;
    let base = api(ROUTE_API_VERSION);
    let path =
        format!("{base}/namespaces/{namespace}/{ROUTE_PLURAL}/{name}?fieldManager={FIELD_MANAGER}");
    ApiRequest::json_patch(path, Value::Array(operations))
}
