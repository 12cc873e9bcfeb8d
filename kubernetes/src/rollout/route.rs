//! A route of the Gateway API, and where the two backends of a rollout are in it.

use serde_json::Value;
use tidegate_rollout::{Split, Weight};

use crate::world::{Version, Versioned};

/// Rules of a route that are read, and backends of a rule: the Gateway API has no more.
const ENTRIES_MAX: usize = 16;

/// An `HTTPRoute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The version that was seen.
    pub version: Version,
    /// The backends of each of its rules.
    pub rules: Vec<Vec<Backend>>,
}

impl Versioned for Route {
    fn version(&self) -> &Version {
        &self.version
    }
}

/// A backend of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The Service in the route's namespace; `None` for anything else.
    pub service: Option<String>,
    /// Its weight, which is 1 where the route says nothing.
    pub weight: i64,
}

/// Where both backends are in a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The rule.
    pub rule: usize,
    /// The stable backend in it.
    pub stable: usize,
    /// The new one.
    pub new: usize,
}

/// Why a route cannot be divided between two Services.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacesError {
    /// No rule has both.
    #[error(
        "no rule has both Services {stable} and {new} among its backendRefs: add the new one with \
         weight 0"
    )]
    Missing {
        /// The stable Service.
        stable: String,
        /// The new one.
        new: String,
    },
    /// A rule has more backends.
    #[error(
        "rule {rule} has other backendRefs beside one each of {stable} and {new}, so that shares \
         of the whole could not be kept: give them a rule of their own"
    )]
    Others {
        /// Which rule, from 1.
        rule: usize,
        /// The stable Service.
        stable: String,
        /// The new one.
        new: String,
    },
}

/// Reads a route.
#[must_use]
pub fn read(object: &Value, version: Version) -> Route {
    let list = |value: &Value, field: &str| {
        let items = value.get(field).and_then(Value::as_array);
        items.cloned().unwrap_or_default().into_iter().take(ENTRIES_MAX)
    };
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    let spec = object.get("spec").cloned().unwrap_or_default();
    let rules = list(&spec, "rules").map(|rule| {
        let backends = list(&rule, "backendRefs").map(|backend| read_backend(&backend, namespace));
        backends.collect()
    });
    Route { version, rules: rules.collect() }
}

fn read_backend(backend: &Value, namespace: Option<&str>) -> Backend {
    let text = |field: &str| backend.get(field).and_then(Value::as_str);
    let is_service = text("group").unwrap_or_default().is_empty()
        && text("kind").unwrap_or("Service") == "Service"
        && (text("namespace").is_none() || text("namespace") == namespace);
    let service = text("name").filter(|_| is_service).map(str::to_owned);
    let weight = backend.get("weight").and_then(Value::as_i64).unwrap_or(1);
    Backend { service, weight }
}

/// Every rule that has both Services.
///
/// # Errors
///
/// When there is none, or one of them has other backends too.
pub fn places(route: &Route, stable: &str, new: &str) -> Result<Vec<Place>, PlacesError> {
    let mut places = Vec::new();
    for (rule, backends) in route.rules.iter().enumerate() {
        let find = |service: &str| {
            backends.iter().position(|backend| backend.service.as_deref() == Some(service))
        };
        let (Some(stable_at), Some(new_at)) = (find(stable), find(new)) else { continue };
        if backends.len() != 2 {
            let (stable, new) = (stable.to_owned(), new.to_owned());
            return Err(PlacesError::Others { rule: rule + 1, stable, new });
        }
        places.push(Place { rule, stable: stable_at, new: new_at });
    }
    if places.is_empty() {
        let (stable, new) = (stable.to_owned(), new.to_owned());
        return Err(PlacesError::Missing { stable, new });
    }
    Ok(places)
}

/// The weights of a place's backends, the stable one first.
fn weights(route: &Route, place: &Place) -> Option<[i64; 2]> {
    let backends = route.rules.get(place.rule)?;
    Some([backends.get(place.stable)?.weight, backends.get(place.new)?.weight])
}

/// Whether a route is divided like this everywhere.
#[must_use]
pub fn has(route: &Route, places: &[Place], split: Split) -> bool {
    let wanted = [split.stable_revision(), split.new_revision()];
    let wanted = wanted.map(|weight| i64::from(weight.permille()));
    places.iter().all(|place| weights(route, place) == Some(wanted))
}

/// The share that the new revision has in a route, in thousandths and where it is most.
#[must_use]
pub fn new_permille(route: &Route, places: &[Place]) -> i64 {
    let share = |place: &Place| {
        let [stable, new] = weights(route, place)?;
        let all = stable.saturating_add(new);
        let whole = i64::from(Weight::WHOLE_PERMILLE);
        (all > 0).then(|| new.saturating_mul(whole) / all)
    };
    places.iter().filter_map(share).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn route(rules: &Value) -> Route {
        let object = json!({"metadata": {"namespace": "shop"}, "spec": {"rules": rules}});
        read(&object, Version::default())
    }

    #[test]
    fn both_backends_are_found_wherever_they_are() {
        let route = route(&json!([
            {"backendRefs": [{"name": "web-v2", "weight": 0}, {"name": "web-v1", "weight": 7}]},
            {"backendRefs": [{"name": "admin"}]},
            {},
            {"backendRefs": [
                {"name": "web-v1", "kind": "Service", "group": "", "namespace": "shop"},
                {"name": "web-v2"},
            ]},
        ]));
        let found = places(&route, "web-v1", "web-v2");
        let one = Place { rule: 0, stable: 1, new: 0 };
        let other = Place { rule: 3, stable: 0, new: 1 };
        assert_eq!(found, Ok(vec![one, other]));
        assert_eq!(new_permille(&route, &[one]), 0);
        assert_eq!(new_permille(&route, &[one, other]), 500);
        assert!(!has(&route, &[one], Split::with_new(Weight::ZERO)), "7 is not the whole");
    }

    #[test]
    fn a_route_that_cannot_be_divided_says_why() {
        for (rules, part) in [
            (json!([]), "no rule has both"),
            (json!([{"backendRefs": [{"name": "web-v1"}]}]), "add the new one with weight 0"),
            (
                json!([{"backendRefs": [
                    {"name": "web-v1"}, {"name": "web-v2", "namespace": "elsewhere"}
                ]}]),
                "no rule has both",
            ),
            (
                json!([{"backendRefs": [{"name": "web-v1"}, {"name": "web-v2", "kind": "Odd"}]}]),
                "no rule has both",
            ),
            (
                json!([{"backendRefs": [{"name": "web-v1"}, {"name": "web-v2"}, {"name": "x"}]}]),
                "rule 1 has other",
            ),
        ] {
            let told = places(&route(&rules), "web-v1", "web-v2").map_err(|e| e.to_string());
            assert!(told.as_ref().is_err_and(|told| told.contains(part)), "{told:?}");
        }
    }
}
