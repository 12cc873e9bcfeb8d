//! Which port of the activators belongs to which port of which Service.
//!
//! A port is assigned once and kept in the object's status, so that the next leader assigns the
//! same. It is looked at again for the scalers alone to which something has happened: what the
//! first of three thousand costs, the last costs as well.

mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_kubernetes_objects::traffic_scaler::{ActivatorPort, PortProtocol};

use self::seats::{Owner, Seats};
use crate::listen;
use crate::world::{ObjectKey, Scaler, World};

/// The ports of every scaler whose Service is known: those that it has, and free ones for what is
/// missing. Where the range is used up some are missing.
#[derive(Debug, Clone)]
pub struct Ports {
    seats: Seats,
    owners: BTreeMap<ObjectKey, Vec<(Arc<Owner>, PortProtocol)>>,
    stale: Stale,
}

/// The scalers that are to be looked at again.
#[derive(Debug, Clone)]
enum Stale {
    All,
    Some(BTreeSet<ObjectKey>),
}

impl Default for Ports {
    fn default() -> Self {
        let seats = Seats::new(crate::port_range::PortRange::default());
        Self { seats, owners: BTreeMap::new(), stale: Stale::All }
    }
}

impl Ports {
    /// A scaler or its Service may have changed.
    pub fn one(&mut self, key: &ObjectKey) {
        if let Stale::Some(stale) = &mut self.stale {
            stale.insert(key.clone());
        }
    }

    /// Anything may have changed.
    pub fn everything(&mut self) {
        self.stale = Stale::All;
    }

    /// Takes in what has changed. Returns the scalers that have other ports than before.
    pub fn update(&mut self, world: &World) -> BTreeSet<ObjectKey> {
        if self.seats.range() != world.port_range {
            self.seats = Seats::new(world.port_range);
            self.owners.clear();
            self.stale = Stale::All;
        }
        let stale = match std::mem::replace(&mut self.stale, Stale::Some(BTreeSet::new())) {
            Stale::Some(stale) => stale,
            Stale::All => {
                let there = world.scalers.iter().map(|(key, _)| key);
                self.owners.keys().chain(there).cloned().collect()
            }
        };
        let mut to_put: Vec<_> =
            stale.into_iter().flat_map(|key| self.look_at(world, key)).collect();
        // Who comes in the order in which ports prefer them turns nobody out.
        to_put.sort_by(|(one, claims), (other, others)| {
            (claims.is_empty(), one).cmp(&(others.is_empty(), other))
        });
        for (owner, claims) in to_put {
            self.seats.put(&owner, claims);
        }
        self.seats.take_moved()
    }

    /// Removes the owners of a scaler that are gone. Returns the others, and what they claim.
    fn look_at(&mut self, world: &World, key: ObjectKey) -> Vec<(Arc<Owner>, Vec<u16>)> {
        let scaler = world.scalers.get(&key);
        let owners = scaler.map(|scaler| owners(world, &key, scaler)).unwrap_or_default();
        let before = self.owners.remove(&key).unwrap_or_default();
        for (owner, _) in before {
            if !owners.iter().any(|(kept, _)| *kept == owner) {
                self.seats.remove(&owner);
            }
        }
        let given = scaler.map(|scaler| scaler.status.activator_ports.as_slice());
        let claims = |owner: &Owner| {
            let given = given.unwrap_or_default().iter();
            let given = given.filter(|given| given.service_port == owner.service_port);
            given.filter_map(|given| u16::try_from(given.activator_port).ok()).collect()
        };
        let to_put = owners.iter().map(|(owner, _)| (Arc::clone(owner), claims(owner))).collect();
        if !owners.is_empty() {
            self.owners.insert(key, owners);
        }
        to_put
    }

    /// The ports of a scaler, as they are to be.
    #[must_use]
    pub fn of(&self, key: &ObjectKey) -> Vec<ActivatorPort> {
        let owners = self.owners.get(key).into_iter().flatten();
        let given = owners.filter_map(|(owner, protocol)| {
            let activator_port = i32::from(self.seats.port(owner)?);
            let service_port = owner.service_port;
            Some(ActivatorPort { service_port, activator_port, protocol: *protocol })
        });
        given.collect()
    }

    /// How often it was looked who has a port, since the beginning.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.seats.looks()
    }
}

/// What a scaler is to have a port for each of.
fn owners(world: &World, key: &ObjectKey, scaler: &Scaler) -> Vec<(Arc<Owner>, PortProtocol)> {
    let owner = |service_port| Owner {
        created: scaler.created,
        uid: scaler.uid.clone(),
        scaler: key.clone(),
        service_port,
    };
    let wanted = wanted_ports(world, scaler).into_iter();
    wanted.map(|(port, protocol)| (Arc::new(owner(port)), protocol)).collect()
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

#[cfg(test)]
mod tests {
    use tidegate_autoscaler::Timestamp;
    use tidegate_kubernetes_objects::TrafficScalerStatus;
    use tidegate_kubernetes_objects::traffic_scaler::Actuator;

    use super::*;
    use crate::port_range::PortRange;
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

    fn allocate(world: &World) -> BTreeMap<ObjectKey, Vec<ActivatorPort>> {
        let mut ports = Ports::default();
        ports.update(world);
        all(&ports, world)
    }

    fn all(ports: &Ports, world: &World) -> BTreeMap<ObjectKey, Vec<ActivatorPort>> {
        world.scalers.iter().map(|(key, _)| (key.clone(), ports.of(key))).collect()
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

    /// What is to come of it, by looking at everything: the older first, and what a status has
    /// before what is new.
    fn in_order_of_age(world: &World) -> BTreeMap<ObjectKey, Vec<ActivatorPort>> {
        let range = world.port_range;
        let mut all: Vec<_> = world.scalers.iter().map(|(key, s)| owners(world, key, s)).collect();
        all.sort();
        let mut taken: BTreeMap<u16, Arc<Owner>> = BTreeMap::new();
        let mut given: BTreeMap<Arc<Owner>, ActivatorPort> = BTreeMap::new();
        for is_new in [false, true] {
            for (owner, protocol) in all.iter().flatten() {
                let status = &world.scalers.get(&owner.scaler).expect("it is there").status;
                let claims = status.activator_ports.iter();
                let claims = claims.filter(|port| port.service_port == owner.service_port);
                let claims = claims.map(|port| u16::try_from(port.activator_port).expect("one"));
                let begin = Seats::new(range).begin(owner);
                let others = (0..range.len()).map(|step| (begin + step) % range.len());
                let others = others.map(|at| range.first + u16::try_from(at).expect("one"));
                let tried: Vec<u16> = if is_new { others.collect() } else { claims.collect() };
                let is_free = |port: &u16| range.contains(*port) && !taken.contains_key(port);
                let free = tried.into_iter().find(is_free);
                if let Some(free) = free.filter(|_| !given.contains_key(owner)) {
                    taken.insert(free, Arc::clone(owner));
                    let (service_port, activator_port) = (owner.service_port, free.into());
                    let port = ActivatorPort { service_port, activator_port, protocol: *protocol };
                    given.insert(Arc::clone(owner), port);
                }
            }
        }
        let mut by_scaler: BTreeMap<ObjectKey, Vec<ActivatorPort>> = BTreeMap::new();
        for (key, _) in world.scalers.iter() {
            by_scaler.insert(key.clone(), Vec::new());
        }
        for (owner, port) in given {
            by_scaler.entry(owner.scaler.clone()).or_default().push(port);
        }
        by_scaler
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 64, ..Default::default() })]

        /// Eight scalers of at most two ports each, and nine ports for them.
        #[test]
        fn what_is_kept_up_to_date_is_what_assigning_everything_in_order_of_age_gives(
            changes in proptest::collection::vec(
                (0..5_u8, 0..8_usize, 0..12_u16, 0..12_u16),
                1..80,
            ),
        ) {
            let whole = world(8, 2, PortRange { first: 20_000, last: 20_008 });
            let all_scalers: Vec<_> =
                whole.scalers.iter().map(|(key, scaler)| (key.clone(), scaler.clone())).collect();
            let mut world = World { scalers: Default::default(), ..whole.clone() };
            let mut ports = Ports::default();
            for (what, which, one, other) in changes {
                let (key, scaler) = &all_scalers[which];
                let mut scaler = world.scalers.get(key).unwrap_or(scaler).clone();
                let mut service = whole.services.get(key).expect("it is there").clone();
                let version = Version::default();
                match what {
                    0 => drop(world.scalers.remove(key, &version)),
                    1 => {
                        service.ports.truncate(usize::from(one % 3));
                        world.services.upsert(key.clone(), service);
                    }
                    2 => {
                        let claim = |service_port, at| ActivatorPort {
                            service_port,
                            activator_port: 19_998 + i32::from(at),
                            protocol: PortProtocol::Http,
                        };
                        scaler.status.activator_ports =
                            vec![claim(1, one), claim(2, other), claim(1, other)];
                        world.scalers.upsert(key.clone(), scaler);
                    }
                    // Its status says what it has.
                    3 => {
                        scaler.status.activator_ports = ports.of(key);
                        world.scalers.upsert(key.clone(), scaler);
                    }
                    _ => _ = world.scalers.upsert(key.clone(), scaler),
                }
                ports.one(key);
                let before = all(&ports, &world);
                let moved = ports.update(&world);
                let after = all(&ports, &world);
                proptest::prop_assert_eq!(&after, &in_order_of_age(&world));
                for (key, ports) in &after {
                    let is_same = before.get(key) == Some(ports) || moved.contains(key);
                    proptest::prop_assert!(is_same, "{} has others, unsaid", key);
                }
            }
        }
    }

    /// All of them come one after the other, and then each one's status says what it has.
    fn looks_of_adopting(scalers: u16) -> u64 {
        let whole = world(scalers, 2, PortRange::default());
        let mut world = World { scalers: Default::default(), ..whole.clone() };
        let mut ports = Ports::default();
        for (key, scaler) in whole.scalers.iter() {
            world.scalers.upsert(key.clone(), scaler.clone());
            ports.one(key);
            ports.update(&world);
        }
        for (key, scaler) in whole.scalers.iter() {
            let mut scaler = scaler.clone();
            scaler.status.activator_ports = ports.of(key);
            world.scalers.upsert(key.clone(), scaler);
            ports.one(key);
            assert!(ports.update(&world).is_empty(), "who says what it has moves nobody");
        }
        ports.looks()
    }

    /// More than half of the range is used in the end, so that about two looks find a free port.
    #[test]
    fn of_three_thousand_each_costs_what_the_first_costs() {
        let (few, many) = (looks_of_adopting(300), looks_of_adopting(3_000));
        assert!(few <= 6 * 300 * 2, "{few} looks for 300 scalers of two ports");
        assert!(many <= 6 * 3_000 * 2, "{many} looks for 3,000 scalers of two ports");
    }

    /// Where the range is used up, who comes too late costs no look at all of it.
    #[test]
    fn whoever_comes_too_late_costs_as_little() {
        let range = PortRange { first: 20_000, last: 20_999 };
        let mut world = world(2_000, 1, range);
        let mut ports = Ports::default();
        ports.update(&world);
        let scalers: Vec<_> = world.scalers.iter().map(|(k, s)| (k.clone(), s.clone())).collect();
        for (key, mut scaler) in scalers.clone() {
            scaler.status.activator_ports = ports.of(&key);
            world.scalers.upsert(key, scaler);
        }
        ports.everything();
        ports.update(&world);
        let before = ports.looks();
        for (key, _) in &scalers {
            ports.one(key);
            ports.update(&world);
        }
        let looks = ports.looks() - before;
        assert!(looks <= 2 * 2_000, "{looks} looks at 2,000 scalers and 1,000 ports");
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
