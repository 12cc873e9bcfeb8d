//! How activators take the connections of a Service's ports: as HTTP or as they are, and where to.
//!
//! What a port carries is said, in this order, by `spec.service.protocols`, by the port's
//! `appProtocol`, and by the beginning of its name, up to the first hyphen. What is not said is
//! HTTP. Nothing is guessed from bytes: a server may be the one that speaks first.
//!
//! Requests of HTTP go to the queue-proxies that report. Other connections go where the Service
//! itself would lead them: to its ready endpoints, at the port of theirs that has its name.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tidegate_controller::{ActivatorPorts, ServiceMode, TcpPort};
use tidegate_kubernetes_objects::traffic_scaler::{ActivatorPort, PortProtocol};

use crate::world::{Scaler, ServicePort, World};

/// Values of `appProtocol` for HTTP without TLS: IANA's service names, Kubernetes' own, and what
/// service meshes and ingresses use.
const HTTP_APP_PROTOCOLS: [&str; 8] =
    ["http", "http2", "h2c", "grpc", "grpc-web", "kubernetes.io/h2c", "kubernetes.io/ws", "ws"];

/// Beginnings of ports' names for everything else, as service meshes read them.
const TCP_NAMES: [&str; 18] = [
    "tcp",
    "tls",
    "https",
    "wss",
    "mongo",
    "mysql",
    "redis",
    "postgres",
    "postgresql",
    "amqp",
    "mqtt",
    "kafka",
    "nats",
    "smtp",
    "ldap",
    "ssh",
    "thrift",
    "cassandra",
];

/// What the connections to a port of a scaler's Service carry.
#[must_use]
pub fn protocol(scaler: &Scaler, port: &ServicePort) -> PortProtocol {
    let said = scaler.protocols.get(&port.name).filter(|_| !port.name.is_empty());
    let said = said.or_else(|| scaler.protocols.get(&port.port.to_string()));
    if let Some(said) = said {
        return *said;
    }
    if let Some(app_protocol) = &port.app_protocol {
        let name = app_protocol.to_ascii_lowercase();
        return match HTTP_APP_PROTOCOLS.contains(&name.as_str()) {
            true => PortProtocol::Http,
            false => PortProtocol::Tcp,
        };
    }
    let beginning = port.name.split('-').next().unwrap_or_default();
    match TCP_NAMES.contains(&beginning) {
        true => PortProtocol::Tcp,
        false => PortProtocol::Http,
    }
}

/// How activators are to take the requests of a scaler's Service, at the ports that it is `given`.
#[must_use]
pub fn ports(
    world: &World,
    scaler: &Scaler,
    given: &[ActivatorPort],
    mode: ServiceMode,
) -> ActivatorPorts {
    let mut ports = ActivatorPorts { mode, ..ActivatorPorts::default() };
    for given in given {
        let Ok(port) = u16::try_from(given.activator_port) else { continue };
        match given.protocol {
            PortProtocol::Http => {
                // A queue-proxy stands in front of one port of its app, and the first is its.
                if ports.http.is_empty() {
                    let activators = world.activators.iter().flatten();
                    ports.overflow = activators.map(|ip| SocketAddr::new(*ip, port)).collect();
                }
                ports.http.push(port);
            }
            PortProtocol::Tcp => {
                let addresses = endpoints(world, scaler, given.service_port);
                ports.tcp.push(TcpPort { port, addresses });
            }
        }
    }
    ports
}

/// The ready endpoints of a port of a Service, but for activators.
fn endpoints(world: &World, scaler: &Scaler, port: i32) -> Vec<SocketAddr> {
    let service = world.services.get(&scaler.service);
    let mut named = service.into_iter().flat_map(|service| &service.ports);
    let Some(named) = named.find(|named| i32::from(named.port) == port) else { return Vec::new() };
    let mut addresses = BTreeSet::new();
    for (_, slice) in world.slices.of_service(&scaler.service) {
        let Some((number, _)) = slice.content.ports.get(&named.name) else { continue };
        if slice.ours.is_none() {
            let ready = slice.content.addresses.iter();
            addresses.extend(ready.map(|address| SocketAddr::new(*address, *number)));
        }
    }
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use tidegate_autoscaler::Timestamp;
    use tidegate_kubernetes_objects::TrafficScalerStatus;
    use tidegate_kubernetes_objects::traffic_scaler::Actuator;

    use super::*;
    use crate::world::{KindKey, ObjectKey, TargetKey, Version};

    fn scaler(protocols: &[(&str, PortProtocol)]) -> Scaler {
        let kind = KindKey { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned() };
        let key = ObjectKey::new("shop", "till");
        let protocols = protocols.iter().map(|(port, said)| ((*port).to_owned(), *said));
        Scaler {
            uid: "uid".to_owned(),
            created: Timestamp::EPOCH,
            generation: 1,
            version: Version::default(),
            target: TargetKey { kind, object: key.clone() },
            service: key,
            protocols: protocols.collect(),
            service_ports: None,
            finalizers: Vec::new(),
            is_deleted: false,
            may_be_zero: true,
            actuator: Actuator::Direct,
            settings: Ok(()),
            status: TrafficScalerStatus::default(),
        }
    }

    #[test]
    fn what_a_port_carries_is_said_by_the_spec_then_by_app_protocol_then_by_its_name() {
        use PortProtocol::{Http, Tcp};
        let said = scaler(&[("db", Tcp), ("443", Http), ("", Tcp)]);
        for (port, name, app_protocol, expected) in [
            (80, "", None, Http),
            (80, "web", None, Http),
            (80, "http-web", None, Http),
            (50_051, "grpc", None, Http),
            (5_432, "db", Some("http"), Tcp),
            (443, "https", Some("https"), Http),
            (8_443, "https-admin", None, Tcp),
            (3_306, "mysql", None, Tcp),
            (3_306, "mysqlx", None, Http),
            (80, "web", Some("tcp"), Tcp),
            (80, "tcp-web", Some("HTTP"), Http),
            (80, "web", Some("kubernetes.io/h2c"), Http),
            (80, "web", Some("kubernetes.io/wss"), Tcp),
            (80, "web", Some("example.com/own"), Tcp),
        ] {
            let named = ServicePort {
                name: name.to_owned(),
                port,
                app_protocol: app_protocol.map(str::to_owned),
                is_tcp: true,
            };
            assert_eq!(protocol(&said, &named), expected, "{port} {name} {app_protocol:?}");
        }
    }
}
