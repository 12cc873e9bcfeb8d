//! What services say together: who waits for whom, and who has which host, path and address.

use std::collections::BTreeMap;

use tidegate_routes::{FileError, Table};
use tidegate_words::did_you_mean;

use crate::routing::{Lead, routes};
use crate::service::{Protocol, Services};

/// What is wrong with all services together.
pub(crate) fn wrong(services: &Services) -> Vec<FileError> {
    let mut wrong = dependencies(services);
    wrong.extend(addresses(services));
    wrong.extend(ports(services));
    if wrong.is_empty() {
        wrong.extend(entrances(services));
    }
    wrong
}

/// Services that wait for nobody, or for themselves.
fn dependencies(services: &Services) -> Vec<FileError> {
    let mut wrong = Vec::new();
    for (name, service) in &services.services {
        let known = || services.services.keys().map(String::as_str).filter(|known| known != name);
        let unknown = service.after.iter().find(|after| !known().any(|known| known == *after));
        if let Some(after) = unknown.filter(|after| *after != name) {
            let near = did_you_mean(after, known());
            let what = format!("there is no service \"{after}\"{near}");
            wrong.push(services.wrong(name, "after", what));
        } else if let Some(way) = circle(services, name) {
            let what = format!("it waits for itself: {}", way.join(" after "));
            wrong.push(services.wrong(name, "after", what));
        }
    }
    wrong
}

/// The way from a service back to itself.
fn circle(services: &Services, from: &str) -> Option<Vec<String>> {
    let mut seen = vec![from.to_owned()];
    let mut ways = vec![vec![from.to_owned()]];
    while let Some(way) = ways.pop() {
        let Some(service) = way.last().and_then(|last| services.services.get(last)) else {
            continue;
        };
        for after in &service.after {
            let mut further = way.clone();
            further.push(after.clone());
            if after == from {
                return Some(further);
            }
            if !seen.contains(after) {
                seen.push(after.clone());
                ways.push(further);
            }
        }
    }
    None
}

/// Addresses that two want.
fn addresses(services: &Services) -> Vec<FileError> {
    let common = services.listen.filter(|at| at.port() != 0).map(|at| (at, "all services"));
    let mut taken: BTreeMap<_, &str> = common.into_iter().collect();
    let mut wrong = Vec::new();
    for (name, service) in &services.services {
        let Some(listen) = service.entrance.listen else { continue };
        if let Some(other) = taken.insert(listen, name) {
            wrong.push(services.wrong(name, "listen", format!("{listen} is that of {other}")));
        }
    }
    wrong
}

/// Ports that an app wants and somebody else has.
fn ports(services: &Services) -> Vec<FileError> {
    let common = services.listen.map(|at| (at.port(), "where clients of all services connect"));
    let mut taken: BTreeMap<u16, String> =
        common.into_iter().map(|(port, of)| (port, of.to_owned())).collect();
    for (name, service) in &services.services {
        if let Some(listen) = service.entrance.listen {
            taken.insert(listen.port(), format!("the `listen` of \"{name}\""));
        }
    }
    let mut wrong = Vec::new();
    for (name, service) in &services.services {
        let Some(port) = service.template.port else { continue };
        if let Some(other) = taken.insert(port, format!("that of \"{name}\"")) {
            let what = format!("{port} is {other}, and the app of this one cannot have it as well");
            wrong.push(services.wrong(name, "port", what));
        }
    }
    wrong
}

/// Hosts and paths that two want.
fn entrances(services: &Services) -> Vec<FileError> {
    let mut taken: BTreeMap<(String, String), &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    let http = services.services.iter().filter(|(_, of)| of.template.protocol == Protocol::Http);
    for (name, service) in http {
        let path = service.entrance.path.clone().unwrap_or_default();
        let path = path.trim_end_matches('/').to_owned();
        for host in service.entrance.of_all(name) {
            let host = host.to_ascii_lowercase();
            if let Some(other) = taken.insert((host.clone(), path.clone()), name) {
                let key = if service.entrance.hosts.is_empty() { "path" } else { "hosts" };
                let of = if host.is_empty() { "every host".to_owned() } else { host };
                let what = format!("{of} with the path \"{path}/\" is that of \"{other}\"");
                wrong.push(services.wrong(name, key, what));
            }
        }
    }
    if wrong.is_empty() {
        let names = services.services.keys().map(|name| (name.clone(), name.clone()));
        let names: Vec<(String, String)> = names.collect();
        let leads = names.iter().map(|(name, to)| (name.as_str(), Lead::To(to)));
        // Between services and further routes: the message names both.
        wrong.extend(
            Table::parse(&routes(services, &leads.collect())).err().map(|error| FileError {
                line: 1,
                column: 1,
                what: error.what,
            }),
        );
    }
    wrong
}
