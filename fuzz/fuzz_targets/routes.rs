//! Files of routes, and requests to them: a file is refused in words with a place, or makes a table
//! that sends every request to a revision that it names, and nowhere else.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate_routes::{Outcome, Request, Share, Table};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    file: &'a str,
    requests: Vec<(&'a str, &'a [u8], &'a [u8], u64)>,
}

/// A file in which hosts and paths of requests find something, whatever the fuzzer writes.
const KNOWN: &str = r#"
[route.shop]
hosts = ["shop.example.com", "*.example.com"]
sticky = "visitor"
split = { v1 = 70, v2 = 29.9, v3 = 0.1 }
tags = { next = "v2" }
when = [{ header = "x-beta", to = "v3" }]
mirror = { to = "shadow", percent = 50 }
[route.admin]
hosts = ["shop.example.com"]
path = "/admin"
to = "admin"
[route.old]
path = "/old"
redirect = { to = "/", keep_path = true }
[route.new]
path = "/new"
redirect = { to = "https://new.example", keep_path = true }
[route.health]
exact = "/health"
answer = { body = "ok" }
"#;

fn ask(table: &Table, (host, target, value, draw): (&str, &[u8], &[u8], u64)) {
    let mut headers = http::HeaderMap::new();
    if let Ok(value) = http::HeaderValue::from_bytes(value) {
        for name in ["x-beta", "cookie", "knative-serving-tag"] {
            headers.insert(name, value.clone());
        }
    }
    let request = Request { host: Some(host), target, headers: &headers, draw };
    match table.find(&request) {
        Outcome::Forward(forward) => {
            assert!(forward.revision < table.revisions().len());
            assert!(forward.mirror.is_none_or(|mirror| mirror < table.revisions().len()));
            assert!(table.route(forward.route).is_some());
        }
        Outcome::Redirect { location, .. } => {
            let place = location.to_str().expect("it is ASCII");
            assert!(!place.starts_with("//") && !place.starts_with("/\\"), "{place}");
        }
        Outcome::Answer { route, .. } => assert!(table.route(route).is_some()),
        Outcome::Unrouted | Outcome::Ambiguous => {}
    }
    // Who asks the same gets the same.
    assert_eq!(table.find(&request), table.find(&request));
}

fuzz_target!(|input: Input<'_>| {
    let known = Table::parse(KNOWN).expect("it can be followed");
    let given = Table::parse(input.file);
    if let Err(error) = &given {
        assert!(error.line >= 1 && error.column >= 1 && !error.what.is_empty());
        assert!(error.line <= input.file.matches('\n').count() + 1);
    }
    for table in given.iter().chain([&known]) {
        for route in table.routes() {
            let Some(shares) = table.shares(&route.name) else { continue };
            let sum: u32 = shares.iter().map(|(_, share)| share.millionths()).sum();
            assert_eq!(sum, Share::WHOLE.millionths());
        }
        input.requests.iter().take(64).for_each(|request| ask(table, *request));
    }
});
