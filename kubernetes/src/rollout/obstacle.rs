//! What is in the way of a rollout.

use std::collections::BTreeMap;

use crate::rollout::object::RolloutObject;
use crate::rollout::route::{Place, PlacesError, Route, places as places_in};
use crate::world::{ObjectKey, Store, World};

/// Why a rollout does not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The settings contradict themselves.
    #[error("{0}")]
    Settings(String),
    /// There is no such route.
    #[error("there is no HTTPRoute {0}: create it, or correct spec.route")]
    NoRoute(ObjectKey),
    /// The route cannot be divided.
    #[error("HTTPRoute {route}: {source}")]
    Places {
        /// The route.
        route: ObjectKey,
        /// Why not.
        source: PlacesError,
    },
    /// Nobody would know what becomes of the requests.
    #[error(
        "no TrafficScaler has Service {0}, so that nobody knows what becomes of its requests: \
         create one, with a queue-proxy in its pods"
    )]
    NoScaler(ObjectKey),
    /// An older rollout has claimed one of the Services on this route.
    #[error(
        "TrafficRollout {name} divides the requests of {service} already: delete one of the two"
    )]
    Claimed {
        /// The other's name.
        name: String,
        /// The Service.
        service: String,
    },
}

impl Obstacle {
    /// The reason in a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Settings(_) => "InvalidSettings",
            Self::NoRoute(_) => "RouteNotFound",
            Self::Places { .. } => "BackendsNotFound",
            Self::NoScaler(_) => "ScalerNotFound",
            Self::Claimed { .. } => "Conflict",
        }
    }
}

/// Which rollout has claimed which Service.
pub type Claims = BTreeMap<ObjectKey, String>;

/// A route, the places of both backends in it, and their revisions; the stable one first.
pub type Found<'a> = (&'a Route, Vec<Place>, [ObjectKey; 2]);

/// Where the weights of a rollout are. Rollouts are to be asked about in the order of their age:
/// the first one claims its Services.
///
/// # Errors
///
/// What is in the way.
pub fn places<'a>(
    world: &World,
    routes: &'a Store<ObjectKey, Route>,
    (key, object): (&ObjectKey, &RolloutObject),
    claimed: &mut Claims,
) -> Result<Found<'a>, Obstacle> {
    let in_namespace = |name: &str| ObjectKey::new(&key.namespace, name);
    let [stable, new] = [&object.spec.stable.name, &object.spec.new.name];
    for service in [stable, new] {
        let owner = claimed.entry(in_namespace(service)).or_insert_with(|| key.name.clone());
        if *owner != key.name {
            let (name, service) = (owner.clone(), service.clone());
            return Err(Obstacle::Claimed { name, service });
        }
    }
    if let Err(wrong) = &object.settings {
        return Err(Obstacle::Settings(wrong.clone()));
    }
    let route_key = in_namespace(&object.spec.route.name);
    let Some(route) = routes.get(&route_key) else {
        return Err(Obstacle::NoRoute(route_key));
    };
    let places = places_in(route, stable, new)
        .map_err(|source| Obstacle::Places { route: route_key, source })?;
    let revision = |service: &String| {
        let service = in_namespace(service);
        let of_it = world.scalers.iter().find(|(_, scaler)| scaler.service == service);
        let revision = of_it.map(|(_, scaler)| scaler.target.object.clone());
        revision.ok_or(Obstacle::NoScaler(service))
    };
    Ok((route, places, [revision(stable)?, revision(new)?]))
}
