//! Reads objects of the API into the observed state.
//!
//! An object that cannot be read is an error of that object alone; all others are read.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;
use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::names::{FIELD_MANAGER, MANAGED_BY_LABEL, SERVICE_NAME_LABEL};
use tidegate_kubernetes_objects::{
    TrafficRolloutSpec, TrafficRolloutStatus, TrafficScalerSpec, TrafficScalerStatus,
};

use crate::lease::Lease;
use crate::rival::SCALED_OBJECT_KIND;
use crate::rollout::object::{RolloutObject, settings};
use crate::rollout::route::Route;
use crate::world::{
    Family, KindKey, ObjectKey, Rival, Scaler, Service, ServicePort, Slice, SliceContent, Target,
    TargetKey, Version,
};

/// The namespace and name of an object.
#[must_use]
pub fn key(object: &Value) -> Option<ObjectKey> {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str);
    Some(ObjectKey::new(text("/metadata/namespace")?, text("/metadata/name")?))
}

/// The version of an object.
#[must_use]
pub fn version(object: &Value) -> Version {
    Version(text(object, "/metadata/resourceVersion").unwrap_or_default().to_owned())
}

fn text<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    object.pointer(path).and_then(Value::as_str)
}

fn int(object: &Value, path: &str) -> Option<i32> {
    object.pointer(path).and_then(Value::as_i64).and_then(|value| i32::try_from(value).ok())
}

fn list<'a>(object: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    object.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

/// A `TrafficScaler`, and its spec.
///
/// # Errors
/// Why the object cannot be read.
pub fn scaler(object: &Value) -> Result<(Scaler, TrafficScalerSpec), String> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    let spec: TrafficScalerSpec =
        serde_json::from_value(spec).map_err(|error| format!("spec: {error}"))?;
    // A status that cannot be read is written anew.
    let status = object.get("status").cloned().map(serde_json::from_value::<TrafficScalerStatus>);
    let namespace = text(object, "/metadata/namespace").ok_or("it has no namespace")?;
    let target = TargetKey {
        kind: KindKey {
            api_version: spec.target_ref.api_version.clone(),
            kind: spec.target_ref.kind.clone(),
        },
        object: ObjectKey::new(namespace, &spec.target_ref.name),
    };
    let scaler = Scaler {
        uid: text(object, "/metadata/uid").unwrap_or_default().to_owned(),
        created: created(object),
        generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
        version: version(object),
        settings: check_names(&target, &spec.service.name),
        service_ports: spec
            .service
            .ports
            .as_ref()
            .map(|ports| ports.iter().filter_map(|port| u16::try_from(*port).ok()).collect()),
        finalizers: list(object, "/metadata/finalizers")
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        is_deleted: text(object, "/metadata/deletionTimestamp").is_some(),
        target,
        service: ObjectKey::new(namespace, &spec.service.name),
        protocols: spec.service.protocols.clone(),
        may_be_zero: spec.allows_zero(),
        actuator: spec.actuator.unwrap_or_default(),
        status: status.and_then(Result::ok).unwrap_or_default(),
    };
    Ok((scaler, spec))
}

fn created(object: &Value) -> Timestamp {
    let at = text(object, "/metadata/creationTimestamp")
        .and_then(|text| text.parse::<k8s_openapi::jiff::Timestamp>().ok());
    at.map_or(Timestamp::EPOCH, |at| Timestamp::from_millis(at.as_millisecond()))
}

fn is_name(text: &str) -> bool {
    let is_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(is_byte) && !text.contains("..")
}

/// Names become parts of paths. The definition's patterns refuse others already, where it is in
/// force.
fn check_names(target: &TargetKey, service: &str) -> Result<(), String> {
    let (group, version) =
        target.kind.api_version.rsplit_once('/').unwrap_or(("core", &target.kind.api_version));
    for (what, given) in [
        ("spec.targetRef.name", target.object.name.as_str()),
        ("spec.targetRef.apiVersion", group),
        ("spec.targetRef.apiVersion", version),
        ("spec.service.name", service),
    ] {
        if !is_name(given) {
            return Err(format!("{what} is no name of Kubernetes"));
        }
    }
    Ok(())
}

/// A workload, or the response to a patch of its replicas.
#[must_use]
pub fn target(object: &Value) -> Target {
    Target {
        version: version(object),
        // Workloads of Kubernetes default to one replica.
        replicas: int(object, "/spec/replicas").unwrap_or(1),
        ready: int(object, "/status/readyReplicas").unwrap_or(0),
    }
}

/// The response to a patch of replicas. A `Scale` leaves out zero.
#[must_use]
pub fn scale(object: &Value) -> Target {
    Target {
        version: version(object),
        replicas: int(object, "/spec/replicas").unwrap_or(0),
        ready: 0,
    }
}

/// A Service.
#[must_use]
pub fn service(object: &Value) -> Service {
    let ports = list(object, "/spec/ports").filter_map(|port| {
        Some(ServicePort {
            name: text(port, "/name").unwrap_or_default().to_owned(),
            port: u16::try_from(int(port, "/port")?).ok()?,
            app_protocol: text(port, "/appProtocol").map(str::to_owned),
            is_tcp: text(port, "/protocol").unwrap_or("TCP") == "TCP",
        })
    });
    let families = list(object, "/spec/ipFamilies").filter_map(Value::as_str);
    let families: BTreeSet<Family> = families.filter_map(family).collect();
    let unheld = unheld(object);
    Service { version: version(object), ports: ports.collect(), families, unheld }
}

/// Why requests of a Service cannot be held at the activators, if that is so.
fn unheld(service: &Value) -> Option<&'static str> {
    let is = |path: &str, value: &str| text(service, path) == Some(value);
    let has_selector = service.pointer("/spec/selector").and_then(Value::as_object);
    let is_other = |port: &Value| !matches!(text(port, "/protocol"), None | Some("TCP"));
    if is("/spec/type", "ExternalName") {
        return Some("is an ExternalName: no request goes through it");
    }
    if is("/spec/clusterIP", "None") {
        return Some("is headless: clients connect to pods without it");
    }
    if has_selector.is_none_or(serde_json::Map::is_empty) {
        return Some("has no selector: its endpoints are not its pods, and would outlive them");
    }
    if list(service, "/spec/ports").any(is_other) {
        return Some("has a port of UDP or SCTP, of which an activator can hold nothing");
    }
    if is("/spec/internalTrafficPolicy", "Local") || is("/spec/externalTrafficPolicy", "Local") {
        return Some(
            "has a traffic policy Local: nodes without an activator would drop its connections",
        );
    }
    None
}

fn family(text: &str) -> Option<Family> {
    [Family::V4, Family::V6].into_iter().find(|family| family.name() == text)
}

/// An EndpointSlice; `None` for one of names instead of addresses, or of no Service.
#[must_use]
pub fn slice(object: &Value) -> Option<Slice> {
    let labels = object.pointer("/metadata/labels")?;
    let label = |name: &str| labels.get(name).and_then(Value::as_str);
    let ours = (label(MANAGED_BY_LABEL) == Some(FIELD_MANAGER)).then(|| {
        let owner = object.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
        owner.unwrap_or_default().to_owned()
    });
    let is_ready = |endpoint: &&Value| {
        endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true)
    };
    let ready: Vec<&Value> = list(object, "/endpoints").filter(is_ready).collect();
    let addresses = ready.iter().flat_map(|endpoint| list(endpoint, "/addresses"));
    let addresses = addresses.filter_map(|address| address.as_str()?.parse::<IpAddr>().ok());
    let ports: BTreeMap<String, (u16, Option<String>)> = list(object, "/ports")
        .filter_map(|port| {
            let name = text(port, "/name").unwrap_or_default().to_owned();
            let number = u16::try_from(int(port, "/port")?).ok()?;
            Some((name, (number, text(port, "/appProtocol").map(str::to_owned))))
        })
        .collect();
    let content = SliceContent {
        family: family(text(object, "/addressType")?)?,
        ports,
        addresses: addresses.collect(),
    };
    let service = label(SERVICE_NAME_LABEL)?.to_owned();
    Some(Slice { version: version(object), service, ours, content, ready: ready.len() })
}

/// An HPA or a ScaledObject: both name their target the same way, of which the latter may leave
/// out what is usual. What is left out of the least number of replicas is one of an HPA's, and none
/// of a ScaledObject's, which may also have another number for when it is idle.
#[must_use]
pub fn rival(kind: &str, object: &Value) -> Option<Rival> {
    let at = |field: &str| text(object, &format!("/spec/scaleTargetRef/{field}"));
    let object_key = ObjectKey::new(&key(object)?.namespace, at("name")?);
    let target = TargetKey {
        kind: KindKey {
            api_version: at("apiVersion").unwrap_or("apps/v1").to_owned(),
            kind: at("kind").unwrap_or("Deployment").to_owned(),
        },
        object: object_key,
    };
    let least = |field: &str| int(object, &format!("/spec/{field}"));
    let least = match kind {
        SCALED_OBJECT_KIND => least("idleReplicaCount").or(least("minReplicaCount")).unwrap_or(0),
        _ => least("minReplicas").unwrap_or(1),
    };
    let may_be_zero = least == 0;
    Some(Rival { version: version(object), target, may_be_zero })
}

/// A `TrafficRollout`.
///
/// # Errors
/// Why the object cannot be read.
pub fn rollout(object: &Value) -> Result<RolloutObject, String> {
    let spec = object.get("spec").cloned().unwrap_or_default();
    let spec: TrafficRolloutSpec =
        serde_json::from_value(spec).map_err(|error| format!("spec: {error}"))?;
    let status = object.get("status").cloned().map(serde_json::from_value::<TrafficRolloutStatus>);
    // The name becomes a part of a path.
    let is_found = is_name(&spec.route.name);
    Ok(RolloutObject {
        uid: text(object, "/metadata/uid").unwrap_or_default().to_owned(),
        created: created(object),
        generation: object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0),
        version: version(object),
        settings: match is_found {
            true => settings(&spec),
            false => Err("spec.route.name is no name of Kubernetes".to_owned()),
        },
        spec,
        // A status that cannot be read is written anew.
        status: status.and_then(Result::ok).unwrap_or_default(),
    })
}

/// An `HTTPRoute`.
#[must_use]
pub fn route(object: &Value) -> Route {
    crate::rollout::route::read(object, version(object))
}

/// A Lease.
#[must_use]
pub fn lease(object: &Value) -> Lease {
    Lease {
        holder: text(object, "/spec/holderIdentity").unwrap_or_default().to_owned(),
        version: version(object),
        transitions: int(object, "/spec/leaseTransitions").unwrap_or(0),
        acquired: text(object, "/spec/acquireTime").map(str::to_owned),
    }
}

/// Whether a kind is in the list of a group's resources.
#[must_use]
pub fn has_kind(resources: &Value, kind: &str) -> bool {
    list(resources, "/resources").any(|resource| text(resource, "/kind") == Some(kind))
}

/// The name in paths of a kind that has a scale subresource, from the list of a group's resources.
///
/// # Errors
/// Why the kind cannot be scaled.
pub fn plural(resources: &Value, kind: &KindKey) -> Result<String, String> {
    let KindKey { api_version, kind: name } = kind;
    let named = |resource: &&Value| text(resource, "/kind") == Some(name);
    let mut found = list(resources, "/resources").filter(named);
    let main = found.find_map(|resource| text(resource, "/name").filter(|n| !n.contains('/')));
    let Some(main) = main else {
        return Err(format!("the cluster has no kind {name} in {api_version}"));
    };
    let scale = format!("{main}/scale");
    let has_scale = list(resources, "/resources").any(|r| text(r, "/name") == Some(&scale));
    match has_scale {
        true => Ok(main.to_owned()),
        false => Err(format!("{name} of {api_version} has no scale subresource")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rival::HPA_KIND;

    #[test]
    fn names_cannot_escape_their_path() {
        let object = |name: &str, api_version: &str, service: &str| {
            json!({
                "metadata": {"namespace": "shop", "name": "till", "uid": "1"},
                "spec": {
                    "targetRef": {"apiVersion": api_version, "kind": "Deployment", "name": name},
                    "service": {"name": service},
                },
            })
        };
        let settings = |object| scaler(&object).expect("it can be read").0.settings;
        assert_eq!(settings(object("till", "apps/v1", "till")), Ok(()));
        assert_eq!(settings(object("till", "v1", "till")), Ok(()));
        for (name, api_version, service) in [
            ("../secrets/x", "apps/v1", "till"),
            ("till/scale?x=", "apps/v1", "till"),
            ("till", "apps/../v1", "till"),
            ("till", "a/b/v1", "till"),
            ("till", "", "till"),
            ("till", "apps/v1", "till/status"),
            ("till", "apps/v1", ".."),
            ("", "apps/v1", "till"),
            ("till%2f..", "apps/v1", "till"),
        ] {
            let settings = settings(object(name, api_version, service));
            assert!(settings.is_err(), "{name} {api_version} {service}");
        }
    }

    #[test]
    fn an_unreadable_object_affects_no_other() {
        assert!(scaler(&json!({"metadata": {"namespace": "shop"}, "spec": {}})).is_err());
        assert!(scaler(&json!(null)).is_err());
        assert_eq!(key(&json!({"metadata": {"name": "till"}})), None);
        assert_eq!(slice(&json!({"addressType": "FQDN"})), None);
        let nameless = json!({"metadata": {"namespace": "shop", "name": "x"}});
        assert_eq!(rival(HPA_KIND, &nameless), None);
        assert_eq!(target(&json!({})).replicas, 1);
        assert_eq!(scale(&json!({"spec": {}})).replicas, 0);
        let service = service(&json!({"spec": {"clusterIP": "None", "ports": [{"port": 99999}]}}));
        assert!(service.ports.is_empty() && service.unheld.is_some());
    }

    #[test]
    fn what_an_autoscaler_leaves_out_is_what_its_kind_takes_it_for() {
        let may_be_zero = |kind: &str, mut spec: Value| {
            spec["scaleTargetRef"] = json!({"name": "till"});
            let object = json!({"metadata": {"namespace": "shop", "name": "x"}, "spec": spec});
            rival(kind, &object).expect("it can be read").may_be_zero
        };
        assert!(!may_be_zero(HPA_KIND, json!({})));
        assert!(may_be_zero(HPA_KIND, json!({"minReplicas": 0})));
        assert!(may_be_zero(SCALED_OBJECT_KIND, json!({})));
        assert!(!may_be_zero(SCALED_OBJECT_KIND, json!({"minReplicaCount": 1})));
        let idle = json!({"minReplicaCount": 2, "idleReplicaCount": 0});
        assert!(may_be_zero(SCALED_OBJECT_KIND, idle));
    }

    #[test]
    fn a_service_whose_requests_could_go_astray_says_why_it_is_not_held() {
        let plain = json!({
            "type": "ClusterIP",
            "clusterIP": "10.96.0.7",
            "selector": {"app": "till"},
            "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"port": 81}],
        });
        let unheld = |change: Value| {
            let mut spec = plain.clone();
            for (field, value) in change.as_object().expect("fields") {
                spec[field] = value.clone();
            }
            service(&json!({"spec": spec})).unheld
        };
        assert_eq!(unheld(json!({})), None);
        assert_eq!(unheld(json!({"type": "LoadBalancer"})), None);
        for (change, why) in [
            (json!({"type": "ExternalName"}), "ExternalName"),
            (json!({"clusterIP": "None"}), "headless"),
            (json!({"selector": null}), "selector"),
            (json!({"selector": {}}), "selector"),
            (json!({"ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}), "UDP"),
            (json!({"internalTrafficPolicy": "Local"}), "Local"),
            (json!({"externalTrafficPolicy": "Local"}), "Local"),
        ] {
            let told = unheld(change.clone());
            assert!(told.is_some_and(|told| told.contains(why)), "{change}: {told:?}");
        }
    }

    #[test]
    fn only_kinds_with_a_scale_subresource_can_be_scaled() {
        let resources = json!({"resources": [
            {"name": "deployments/scale", "kind": "Scale"},
            {"name": "deployments", "kind": "Deployment"},
            {"name": "deployments/status", "kind": "Deployment"},
            {"name": "daemonsets", "kind": "DaemonSet"},
        ]});
        let kind = |kind: &str| KindKey { api_version: "apps/v1".into(), kind: kind.into() };
        assert_eq!(plural(&resources, &kind("Deployment")).as_deref(), Ok("deployments"));
        for (name, why) in [("DaemonSet", "no scale subresource"), ("Pony", "no kind Pony")] {
            assert!(plural(&resources, &kind(name)).is_err_and(|told| told.contains(why)));
        }
    }
}
