//! Which pods are removed first when a target is scaled down: the idlest.
//!
//! A ReplicaSet removes pods of the lowest deletion cost first. The cost is written right before
//! the target is set to fewer replicas, to the pods to remove and to those marked before that stay,
//! and at no other time: each write is an event for every watch of pods.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{DesiredScale, ObjectKey};

/// The cost of a pod to remove; a pod without the annotation costs 0.
const COST: i32 = -100;

/// Pods that are marked at a time. Beyond it the ReplicaSet chooses by itself.
const MARKED_MAX: usize = 50;

/// The deletion costs to write before a target is scaled `from` so many replicas `to` so many.
/// `written` are those that were, by the names of pods.
#[must_use]
pub fn marks(
    namespace: &str,
    desired: &DesiredScale,
    (from, to): (i32, i32),
    written: Option<&BTreeMap<String, i32>>,
) -> Vec<(ObjectKey, i32)> {
    // Where all pods or none are removed, there is nothing to choose.
    if to <= 0 || to >= from {
        return Vec::new();
    }
    let fewer = usize::try_from(from - to).unwrap_or(0).min(MARKED_MAX);
    let mut idlest_first: Vec<(u32, &str)> =
        desired.pods.iter().map(|(name, in_flight)| (*in_flight, name.as_str())).collect();
    idlest_first.sort_unstable();
    let go: BTreeSet<&str> = idlest_first.iter().take(fewer).map(|(_, name)| *name).collect();
    let has = |name: &str| written.and_then(|written| written.get(name)).copied().unwrap_or(0);
    let marks = idlest_first
        .iter()
        .map(|(_, name)| (*name, if go.contains(name) { COST } else { 0 }))
        .filter(|(name, cost)| has(name) != *cost);
    marks.map(|(name, cost)| (ObjectKey::new(namespace, name), cost)).collect()
}

#[cfg(test)]
mod tests {
    use tidegate_autoscaler::Timestamp;

    use super::*;

    fn desired(pods: &[(&str, u32)]) -> DesiredScale {
        let at = Timestamp::EPOCH;
        let pods = pods.iter().map(|(name, busy)| ((*name).to_owned(), *busy)).collect();
        DesiredScale {
            replicas: 1,
            decided: at,
            as_of: at,
            reason: String::new(),
            reporting: 3,
            counting: 0,
            pods,
        }
    }

    fn named(marks: Vec<(ObjectKey, i32)>) -> Vec<(String, i32)> {
        marks.into_iter().map(|(pod, cost)| (pod.name, cost)).collect()
    }

    #[test]
    fn the_idlest_pods_are_marked_once() {
        let desired = desired(&[("a", 5), ("b", 0), ("c", 2)]);
        let marks = marks("shop", &desired, (3, 1), None);
        assert_eq!(named(marks.clone()), [("b".to_owned(), COST), ("c".to_owned(), COST)]);
        let by_name = marks.into_iter().map(|(pod, cost)| (pod.name, cost));
        let written = Some(by_name.collect::<BTreeMap<_, _>>());
        let written = written.as_ref();
        assert_eq!(super::marks("shop", &desired, (3, 1), written), []);
        // A pod that was marked and stays gets the default cost again.
        assert_eq!(named(super::marks("shop", &desired, (3, 2), written)), [("c".to_owned(), 0)]);
    }

    #[test]
    fn without_a_choice_no_pod_is_marked() {
        let desired = desired(&[("a", 5), ("b", 0)]);
        for (from, to) in [(2, 0), (2, 2), (2, 3), (0, 0)] {
            assert_eq!(marks("shop", &desired, (from, to), None), []);
        }
        let many: Vec<(String, u32)> = (0..500).map(|n| (format!("p{n}"), 0)).collect();
        let desired = DesiredScale { pods: many, ..desired };
        assert_eq!(marks("shop", &desired, (500, 1), None).len(), MARKED_MAX);
    }
}
