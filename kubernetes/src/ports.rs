//! Which port of the activators belongs to which port of which Service.
//!
//! A port is assigned once and kept in the object's status, so that the next leader assigns the
//! same. The search for a free one begins at a hash of the object's identity: a port that has just
//! become free, to which connections may still be open, is then rarely assigned to another Service
//! at once.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::subset::fnv1a;
use tidegate_kubernetes_objects::traffic_scaler::{ActivatorPort, PortProtocol};

use crate::listen;
use crate::port_range::PortRange;
use crate::world::{ObjectKey, Scaler, World};

/// The ports of every scaler whose Service is known: those that it has, and free ones for what is
/// missing. Where the range is used up some are missing.
#[must_use]
pub fn allocate(world: &World) -> BTreeMap<ObjectKey, Vec<ActivatorPort>> {
    let mut oldest_first: Vec<(&ObjectKey, &Scaler)> = world.scalers.iter().collect();
    oldest_first.sort_by_key(|(_, scaler)| (scaler.created, &scaler.uid));
    let mut taken = BTreeSet::new();
    let mut given: BTreeMap<ObjectKey, Vec<ActivatorPort>> = BTreeMap::new();
    // Assigned ports stay; where two scalers have the same, the older one keeps it.
    for (key, scaler) in &oldest_first {
        let wanted = wanted_ports(world, scaler);
        let kept = scaler.status.activator_ports.iter().filter_map(|port| {
            let protocol = *wanted.get(&port.service_port)?;
            let number = u16::try_from(port.activator_port).ok()?;
            let is_kept = world.port_range.contains(number) && taken.insert(number);
            is_kept.then(|| ActivatorPort { protocol, ..port.clone() })
        });
        given.insert((*key).clone(), kept.collect());
    }
    for (key, scaler) in &oldest_first {
        let ports = given.entry((*key).clone()).or_default();
        for (service_port, protocol) in wanted_ports(world, scaler) {
            if ports.iter().any(|port| port.service_port == service_port) {
                continue;
            }
            let Some(free) = free_port(world.port_range, &taken, &scaler.uid, service_port) else {
                continue;
            };
            taken.insert(free);
            let activator_port = i32::from(free);
            ports.push(ActivatorPort { service_port, activator_port, protocol });
        }
        ports.sort_by_key(|port| port.service_port);
    }
    given
}

/// The ports of a scaler's Service whose requests activators hold. A Service that is not seen just
/// now keeps what it has.
fn wanted_ports(world: &World, scaler: &Scaler) -> BTreeMap<i32, PortProtocol> {
    match world.services.get(&scaler.service) {
        Some(service) => {
            let held = service.ports.iter().filter(|port| scaler.holds_port(port));
            held.map(|port| (port.port.into(), listen::protocol(scaler, port))).collect()
        }
        None => {
            let known = scaler.status.activator_ports.iter();
            known.map(|port| (port.service_port, port.protocol)).collect()
        }
    }
}

fn free_port(range: PortRange, taken: &BTreeSet<u16>, uid: &str, service_port: i32) -> Option<u16> {
    let count = range.len();
    if count == 0 || taken.len() >= count {
        return None;
    }
    let begin = place(uid, service_port) % count;
    let from_begin = (0..count).map(|step| (begin + step) % count);
    from_begin
        .filter_map(|offset| range.first.checked_add(u16::try_from(offset).ok()?))
        .find(|port| !taken.contains(port))
}

/// A hash of the identity: spread, the same in every process, and no secret.
fn place(uid: &str, service_port: i32) -> usize {
    let hash = fnv1a(uid.bytes().chain(service_port.to_le_bytes()));
    usize::try_from(hash >> 33).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use tidegate_autoscaler::Timestamp;
    use tidegate_kubernetes_objects::TrafficScalerStatus;
    use tidegate_kubernetes_objects::traffic_scaler::Actuator;

    use super::*;
    use crate::world::{KindKey, Service, ServicePort, TargetKey, Version};

    fn world(scalers: u16, ports: u16, range: PortRange) -> World {
        let mut world = World { port_range: range, ..World::default() };
        for n in 0..scalers {
            let key = ObjectKey::new("shop", &format!("app-{n}"));
            let kind = KindKey { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned() };
            let scaler = Scaler {
                uid: format!("uid-{n}"),
                created: Timestamp::from_secs(n.into()),
                generation: 1,
                version: Version::default(),
                target: TargetKey { kind, object: key.clone() },
                service: key.clone(),
                protocols: BTreeMap::new(),
                may_be_zero: true,
                actuator: Actuator::Direct,
                service_ports: None,
                settings: Ok(()),
                finalizers: Vec::new(),
                is_deleted: false,
                status: TrafficScalerStatus::default(),
            };
            let port = |port| ServicePort {
                name: format!("p{port}"),
                port,
                app_protocol: None,
                is_tcp: true,
            };
            let service = Service {
                version: Version::default(),
                ports: (1..=ports).map(port).collect(),
                families: BTreeSet::new(),
                unheld: None,
            };
            world.services.upsert(key.clone(), service);
            world.scalers.upsert(key, scaler);
        }
        world
    }

    fn numbers(given: &BTreeMap<ObjectKey, Vec<ActivatorPort>>) -> Vec<i32> {
        given.values().flatten().map(|port| port.activator_port).collect()
    }

    #[test]
    fn each_service_port_keeps_an_activator_port_of_its_own() {
        let range = PortRange { first: 20_000, last: 20_199 };
        let mut world = world(60, 3, range);
        let given = allocate(&world);
        let all: BTreeSet<i32> = numbers(&given).into_iter().collect();
        assert_eq!(all.len(), 180);
        assert!(all.iter().all(|port| (20_000..=20_199).contains(port)));
        // The first scaler is deleted: all others keep their ports.
        let stored: Vec<(ObjectKey, Scaler)> = world
            .scalers
            .iter()
            .skip(1)
            .map(|(key, scaler)| {
                let mut scaler = scaler.clone();
                scaler.status.activator_ports.clone_from(&given[key]);
                (key.clone(), scaler)
            })
            .collect();
        world.scalers.replace(stored);
        let again = allocate(&world);
        assert!(again.iter().all(|(key, ports)| given[key] == *ports));
    }

    #[test]
    fn of_two_scalers_with_one_port_the_older_keeps_it() {
        let mut world = world(2, 1, PortRange::default());
        let protocol = PortProtocol::Http;
        let claimed = ActivatorPort { service_port: 1, activator_port: 20_007, protocol };
        let both: Vec<(ObjectKey, Scaler)> = world
            .scalers
            .iter()
            .map(|(key, scaler)| {
                let mut scaler = scaler.clone();
                scaler.status.activator_ports = vec![claimed.clone()];
                (key.clone(), scaler)
            })
            .collect();
        world.scalers.replace(both);
        let given = allocate(&world);
        assert_eq!(given[&ObjectKey::new("shop", "app-0")], *std::slice::from_ref(&claimed));
        assert_ne!(given[&ObjectKey::new("shop", "app-1")], [claimed]);
    }

    #[test]
    fn an_exhausted_range_leaves_ports_unassigned() {
        let range = PortRange { first: 20_000, last: 20_004 };
        let given = allocate(&world(4, 2, range));
        assert_eq!(numbers(&given).len(), 5);
        assert!("1023-2000".parse::<PortRange>().is_err());
        assert!("2000-1999".parse::<PortRange>().is_err());
        assert_eq!("1024-65535".parse::<PortRange>().map(PortRange::len), Ok(64_512));
    }
}
