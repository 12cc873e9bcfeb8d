//! The routes that lead to the present revisions of the services.

use std::collections::BTreeMap;

use tidegate_routes::renamed;
use toml::{Table, Value};

use crate::service::{Entrance, Protocol, Rollout, Service, Services};

/// The route of what no service is for.
const ELSEWHERE: &str = "tidegate-no-service";

/// The namespace of revisions on this machine.
pub const NAMESPACE: &str = "local";

/// Where the requests of a service go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead<'a> {
    /// To this revision.
    To(&'a str),
    /// From one to another, as its rollout says.
    From(&'a str, &'a str),
    /// Nowhere, because of this.
    Nowhere(&'a str),
}

impl Entrance {
    /// The hosts of the common address that lead to the service called `name`; an empty one is
    /// every host.
    pub fn of_all(&self, name: &str) -> Vec<String> {
        match (self.hosts.as_slice(), &self.path) {
            ([], None) => vec![format!("{name}.localhost")],
            ([], Some(_)) => vec![String::new()],
            (hosts, _) => hosts.to_vec(),
        }
    }
}

/// The text of the routes, with the revisions that the services have now. A service without a lead
/// has no route.
#[must_use]
pub fn routes(services: &Services, leads: &BTreeMap<&str, Lead<'_>>) -> String {
    let full = |revision: &str| format!("{NAMESPACE}/{revision}");
    let stable = |name: &str| match leads.get(name) {
        Some(Lead::To(revision) | Lead::From(revision, _)) => full(revision),
        // A revision that there is not: what goes there is refused.
        Some(Lead::Nowhere(_)) | None => full(name),
    };
    let mut all = renamed(&services.routes, &stable);
    for (name, service) in &services.services {
        if let Some(lead) = leads.get(name.as_str()) {
            all.insert(name.clone(), Value::Table(route(name, service, *lead)));
        }
    }
    let takes_all = |route: &Value| {
        let everywhere = route.get("hosts").is_none() && route.get("exact").is_none();
        everywhere && route.get("path").and_then(Value::as_str).is_none_or(|path| path == "/")
    };
    if !all.values().any(takes_all) {
        let body = format!("No service is for this host and path.\n{}", entrances(services));
        all.insert(ELSEWHERE.to_owned(), answer(404, body));
    }
    Table::from_iter([("route".to_owned(), Value::Table(all))]).to_string()
}

fn route(name: &str, service: &Service, lead: Lead<'_>) -> Table {
    let text = |text: String| Value::String(text);
    let full = |revision: &str| text(format!("{NAMESPACE}/{revision}"));
    let mut route = match lead {
        Lead::To(revision) => Table::from_iter([("to".to_owned(), full(revision))]),
        Lead::From(stable, new) => {
            let mut rollout = match &service.rollout {
                Rollout::Shares(shares) => shares.clone(),
                Rollout::WhenReady | Rollout::Replace => Table::new(),
            };
            rollout.insert("from".to_owned(), full(stable));
            rollout.insert("to".to_owned(), full(new));
            Table::from_iter([("rollout".to_owned(), Value::Table(rollout))])
        }
        Lead::Nowhere(why) => {
            let body = format!("The service \"{name}\" cannot answer: {why}\n");
            Table::from_iter([("answer".to_owned(), answer_table(503, body))])
        }
    };
    let hosts = match service.template.protocol {
        Protocol::Http => service.entrance.of_all(name),
        // Nobody on the common address names it so: its own address leads here.
        Protocol::Tcp => vec![format!("{name}.tcp.invalid")],
    };
    let hosts: Vec<Value> = hosts.into_iter().filter(|host| !host.is_empty()).map(text).collect();
    if !hosts.is_empty() {
        route.insert("hosts".to_owned(), Value::Array(hosts));
    }
    if let Some(path) = &service.entrance.path {
        route.insert("path".to_owned(), text(path.clone()));
    }
    route
}

fn answer_table(status: i64, body: String) -> Value {
    Value::Table(Table::from_iter([
        ("status".to_owned(), Value::Integer(status)),
        ("body".to_owned(), Value::String(body)),
    ]))
}

fn answer(status: i64, body: String) -> Value {
    Value::Table(Table::from_iter([("answer".to_owned(), answer_table(status, body))]))
}

/// Which hosts and paths lead somewhere, for people.
fn entrances(services: &Services) -> String {
    let http = services.services.iter().filter(|(_, of)| of.template.protocol == Protocol::Http);
    let lines = http.flat_map(|(name, service)| {
        let path = service.entrance.path.clone().unwrap_or_default();
        let hosts = service.entrance.of_all(name).into_iter();
        hosts.map(move |host| match host.as_str() {
            "" => format!("  {path} is {name}\n"),
            host => format!("  {host}{path} is {name}\n"),
        })
    });
    lines.take(100).collect()
}
