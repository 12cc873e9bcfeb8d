//! Routes as a part of another format: names that mean something else there, and requests that take
//! a route whatever they name.

use http::HeaderMap;
use tidegate_routes::section::{Section, tables};
use tidegate_routes::{FileError, Outcome, Request, Revision, Table, renamed};

const ROUTES: &str = r#"
[route.shop]
hosts = ["shop.localhost"]
split = { web = 70, api = 30 }
tags = { next = "api" }
when = [{ header = "x-beta", to = "api" }]
mirror = { to = "web" }

[route.old]
hosts = ["old.localhost"]
[route.old.rollout]
from = "web"
to = "api"
over = "10m"

[route.robots]
exact = "/robots.txt"
answer = { body = "to = web" }
"#;

fn read(text: &str) -> Result<Table, FileError> {
    let tables = tables(text).expect("it is TOML");
    let top = Section::top(text, &tables);
    let routes = top.section("route")?.expect("there are some");
    Table::of_section(&routes, &|name| match name {
        "web" | "api" => Ok(Revision { namespace: "local".into(), name: format!("{name}-00001") }),
        other => Err(format!("there is no service \"{other}\"")),
    })
}

#[test]
fn names_mean_what_the_other_format_says() {
    let table = read(ROUTES).expect("it can be followed");
    let mut named: Vec<String> = table.revisions().iter().map(ToString::to_string).collect();
    named.sort();
    assert_eq!(named, ["local/api-00001", "local/web-00001"]);
    let unknown = read("[route.a]\nto = 'wbe'").expect_err("there is no such service");
    assert_eq!(unknown.to_string(), "line 2, column 6: route \"a\": there is no service \"wbe\"");
}

/// What is read by names, and what is read from the same text with those names written out.
#[test]
fn names_written_out_make_the_same_table() {
    let routes: toml::Table = ROUTES.parse().expect("it is TOML");
    let routes = routes["route"].as_table().expect("it is a table");
    let full = renamed(routes, &|name| format!("local/{name}-00001"));
    let full = toml::Table::from_iter([("route".to_owned(), full.into())]).to_string();
    let full = Table::parse(&full).unwrap_or_else(|error| panic!("{error}\n{full}"));
    let shown = |table: &Table| {
        let named = |route: &tidegate_routes::Route| {
            let shares = table.shares(&route.name).unwrap_or_default();
            let shares: Vec<String> =
                shares.iter().map(|(of, share)| format!("{of} {share}")).collect();
            (route.name.clone(), route.hosts.clone(), shares)
        };
        table.routes().map(named).collect::<Vec<_>>()
    };
    assert_eq!(shown(&full), shown(&read(ROUTES).expect("it can be followed")));
    assert_eq!(full.rollouts().count(), 1);
}

#[test]
fn a_request_can_take_a_route_whatever_it_names() {
    let table = read(ROUTES).expect("it can be followed");
    let headers = HeaderMap::new();
    let request = Request { host: Some("elsewhere"), target: b"/x", headers: &headers, draw: 0 };
    assert_eq!(table.find(&request), Outcome::Unrouted);
    let Outcome::Forward(forward) = table.find_in("shop", &request) else { panic!("forwarded") };
    assert_eq!(forward.route, "shop");
    assert!(matches!(table.find_in("robots", &request), Outcome::Answer { .. }));
    assert_eq!(table.find_in("nowhere", &request), Outcome::Unrouted);
}
