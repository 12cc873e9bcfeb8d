//! The EndpointSlices that route a Service's requests to the activators.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::world::{Family, ObjectKey, Scaler, Service, Slice, SliceContent, World};

/// Our slices of a scaler's Service, present and wanted.
#[derive(Debug, Clone)]
pub struct Slices<'a> {
    /// The present ones, of this scaler or of a deleted one of its name.
    pub present: Vec<(&'a ObjectKey, &'a Slice)>,
    /// The slices to have while requests are held; or why none can be held.
    pub wanted: Result<Vec<(ObjectKey, SliceContent)>, Unheld>,
    /// The ports of activators that must accept a connection before they can be in a slice.
    pub unchecked: Vec<(IpAddr, u16)>,
}

/// Why no requests can be held, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unheld {
    /// The activators have no port for it, or do not listen there: so it is of every new scaler
    /// at first.
    Ports(String),
    /// Anything else.
    Other(String),
}

impl Unheld {
    /// The words.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Ports(why) | Self::Other(why) => why,
        }
    }
}

impl<'a> Slices<'a> {
    /// The slices of a scaler.
    #[must_use]
    pub fn of(world: &'a World, key: &ObjectKey, scaler: &Scaler) -> Self {
        let names = [Family::V4, Family::V6].map(|family| slice_key(scaler, family));
        let mut present = Vec::new();
        let mut foreign = None;
        for name in &names {
            match world.slices.get_key_value(name) {
                Some((name, slice)) if slice.ours.is_some() => present.push((name, slice)),
                Some((name, _)) => foreign = Some(name),
                None => {}
            }
        }
        let mut unchecked = Vec::new();
        let wanted = match foreign {
            Some(name) => Err(Unheld::Other(format!(
                "EndpointSlice {name} is not ours and has the name that ours would have: delete it"
            ))),
            None => wanted(world, key, scaler, &present, &mut unchecked),
        };
        Self { present, wanted, unchecked }
    }

    /// Whether a slice is present.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !self.present.is_empty()
    }

    /// Whether all slices are as wanted, so that requests are held.
    #[must_use]
    pub fn hold(&self, scaler: &Scaler) -> bool {
        let Ok(wanted) = &self.wanted else { return false };
        wanted.len() == self.present.len()
            && wanted.iter().all(|(key, content)| self.is_there(scaler, key, content))
    }

    /// Whether a slice is present as wanted.
    #[must_use]
    pub fn is_there(&self, scaler: &Scaler, key: &ObjectKey, content: &SliceContent) -> bool {
        self.present.iter().any(|(name, slice)| {
            *name == key
                && slice.content == *content
                && slice.service == scaler.service.name
                && slice.ours.as_deref() == Some(&scaler.uid)
        })
    }
}

/// The end of the name of the slice of one family.
fn suffix(family: Family) -> &'static str {
    match family {
        Family::V4 => "-tidegate-ipv4",
        Family::V6 => "-tidegate-ipv6",
    }
}

/// The slice of one family.
fn slice_key(scaler: &Scaler, family: Family) -> ObjectKey {
    let ObjectKey { namespace, name } = &scaler.service;
    ObjectKey { namespace: namespace.clone(), name: format!("{name}{}", suffix(family)) }
}

/// The Service whose slice would have this name.
#[must_use]
pub fn service_of_name(slice: &ObjectKey) -> Option<ObjectKey> {
    let name = [Family::V4, Family::V6].map(|family| slice.name.strip_suffix(suffix(family)));
    let name = name.into_iter().flatten().next()?;
    Some(ObjectKey::new(&slice.namespace, name))
}

fn wanted(
    world: &World,
    key: &ObjectKey,
    scaler: &Scaler,
    present: &[(&ObjectKey, &Slice)],
    unchecked: &mut Vec<(IpAddr, u16)>,
) -> Result<Vec<(ObjectKey, SliceContent)>, Unheld> {
    let Some(service) = world.services.get(&scaler.service) else {
        return Err(Unheld::Other(format!("there is no Service {}", scaler.service)));
    };
    if let Some(why) = service.unheld {
        return Err(Unheld::Other(format!("Service {} {why}", scaler.service)));
    }
    let ports = ports(key, scaler, service)?;
    let activators = world.activators.iter().flatten();
    if activators.clone().next().is_none() {
        return Err(Unheld::Other("no activator is ready to hold requests".to_owned()));
    }
    let mut slices = Vec::new();
    for family in &service.families {
        let name = slice_key(scaler, *family);
        let before = present.iter().find(|(present, _)| **present == name);
        let mut addresses = BTreeSet::new();
        for address in activators.clone().filter(|address| Family::of(address) == *family) {
            let known = |port: &u16| world.listening.get(&(*address, *port)).copied();
            let numbers = || ports.values().map(|(port, _)| port);
            let closed = numbers().filter(|port| known(port) != Some(true));
            unchecked.extend(closed.map(|port| (*address, *port)));
            // An activator that is in the present slice and not known to be gone stays: a new
            // leader must not remove the endpoints that hold requests.
            let was_in = before.is_some_and(|(_, slice)| slice.content.addresses.contains(address));
            if numbers().all(|port| known(port).unwrap_or(was_in)) {
                addresses.insert(*address);
            }
        }
        if addresses.is_empty() {
            let family = family.name();
            let why = format!("no activator listens for this Service on an {family} address");
            return Err(Unheld::Ports(why));
        }
        slices.push((name, SliceContent { family: *family, ports: ports.clone(), addresses }));
    }
    match slices.is_empty() {
        true => Err(Unheld::Other(format!("Service {} has no address", scaler.service))),
        false => Ok(slices),
    }
}

/// The ports of a slice: each of the Service's own by its name, at the activators' number for it.
fn ports(
    key: &ObjectKey,
    scaler: &Scaler,
    service: &Service,
) -> Result<BTreeMap<String, (u16, Option<String>)>, Unheld> {
    let mut ports = BTreeMap::new();
    if let Some(missing) = missing_port(scaler, service) {
        return Err(Unheld::Other(format!(
            "Service {} has no TCP port {missing}: correct spec.service.ports",
            scaler.service
        )));
    }
    for port in service.ports.iter().filter(|port| scaler.holds_port(port)) {
        let given = scaler.status.activator_ports.iter().find_map(|given| {
            let is_it = given.service_port == i32::from(port.port);
            u16::try_from(given.activator_port).ok().filter(|number| is_it && *number > 0)
        });
        let Some(number) = given else {
            let why = format!("{key} has no port of the activators for port {} yet", port.port);
            return Err(Unheld::Ports(why));
        };
        ports.insert(port.name.clone(), (number, port.app_protocol.clone()));
    }
    match ports.is_empty() {
        true => Err(Unheld::Other(format!("Service {} has no TCP port", scaler.service))),
        false => Ok(ports),
    }
}

/// A port that the scaler names and the Service does not have.
fn missing_port(scaler: &Scaler, service: &Service) -> Option<u16> {
    let is_there = |number: &u16| service.ports.iter().any(|p| p.is_tcp && p.port == *number);
    scaler.service_ports.iter().flatten().copied().find(|number| !is_there(number))
}

#[cfg(test)]
mod tests {
    use tidegate_autoscaler::Timestamp;
    use tidegate_kubernetes_objects::TrafficScalerStatus;
    use tidegate_kubernetes_objects::traffic_scaler::{ActivatorPort, Actuator};

    use super::*;
    use crate::world::{KindKey, ServicePort, TargetKey, Version};

    fn key() -> ObjectKey {
        ObjectKey::new("shop", "till")
    }

    fn scaler() -> Scaler {
        let kind = KindKey { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned() };
        let given = ActivatorPort {
            service_port: 80,
            activator_port: 20_000,
            protocol: Default::default(),
        };
        let status =
            TrafficScalerStatus { activator_ports: vec![given], ..TrafficScalerStatus::default() };
        Scaler {
            uid: "uid".to_owned(),
            created: Timestamp::EPOCH,
            generation: 1,
            version: Version::default(),
            target: TargetKey { kind, object: key() },
            service: key(),
            protocols: BTreeMap::new(),
            service_ports: None,
            finalizers: Vec::new(),
            is_deleted: false,
            may_be_zero: true,
            actuator: Actuator::Direct,
            settings: Ok(()),
            status,
        }
    }

    /// A Service of both families, and activators that listen at these addresses.
    fn world(activators: &[&str]) -> World {
        let port =
            ServicePort { name: "http".to_owned(), port: 80, app_protocol: None, is_tcp: true };
        let service = Service {
            version: Version::default(),
            ports: vec![port],
            families: BTreeSet::from([Family::V4, Family::V6]),
            unheld: None,
        };
        let mut world = World::default();
        world.services.upsert(key(), service);
        let activators: BTreeSet<IpAddr> =
            activators.iter().map(|address| address.parse().expect("an address")).collect();
        let listening = activators.iter().map(|address| ((*address, 20_000), true));
        world.listening.extend(listening);
        world.activators = Some(activators);
        world
    }

    #[test]
    fn there_is_a_slice_for_each_family_and_none_where_one_would_be_without_an_activator() {
        let scaler = scaler();
        let both = world(&["10.0.0.1", "fd00::1", "10.0.0.2"]);
        let wanted = Slices::of(&both, &key(), &scaler).wanted.expect("requests can be held");
        let told: Vec<(String, usize, usize)> = wanted
            .iter()
            .map(|(key, slice)| (key.name.clone(), slice.addresses.len(), slice.ports.len()))
            .collect();
        let expected =
            [("till-tidegate-ipv4".to_owned(), 2, 1), ("till-tidegate-ipv6".to_owned(), 1, 1)];
        assert_eq!(told, expected);
        assert!(wanted.iter().all(|(key, slice)| {
            service_of_name(key) == Some(self::key())
                && slice.addresses.iter().all(|address| Family::of(address) == slice.family)
        }));
        for (only, missing) in [("10.0.0.1", "IPv6"), ("fd00::1", "IPv4")] {
            let one = world(&[only]);
            let refused = Slices::of(&one, &key(), &scaler).wanted;
            assert!(refused.is_err_and(|why| why.why().contains(missing)), "{only}");
        }
    }
}
