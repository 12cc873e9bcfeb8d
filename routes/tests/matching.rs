//! Which route a request takes, and what cannot be made of it by whoever sends it.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use tidegate_routes::{Outcome, Request, Table};

const TABLE: &str = r#"
[route.shop]
hosts = ["shop.example.com", "www.shop.example.com"]
split = { "shop/v1" = 100, "shop/v2" = 0 }
tags = { next = "shop/v2", old = "shop/v0" }
when = [
    { header = "x-beta", value = "yes", to = "shop/v2" },
    { cookie = "beta", to = "shop/v3" },
]
mirror = { to = "shop/shadow", percent = 25 }

[route.shop-admin]
hosts = ["shop.example.com"]
path = "/admin"
to = "shop/admin"

[route.tenants]
hosts = ["*.example.com"]
to = "tenants"

[route.deep]
hosts = ["*.deep.example.com"]
to = "deep"

[route.health]
exact = "/healthz"
answer = { body = "ok\n" }

[route.old]
hosts = ["old.example.com"]
redirect = { to = "https://shop.example.com", status = 308, keep_path = true }
"#;

fn table() -> Table {
    Table::parse(TABLE).expect("it can be followed")
}

fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

/// What becomes of a request, in a word.
fn found(host: &str, target: &str, headers: &HeaderMap) -> String {
    let table = table();
    let host = (!host.is_empty()).then_some(host);
    let request = Request { host, target: target.as_bytes(), headers, draw: 0 };
    match table.find(&request) {
        Outcome::Forward(forward) => table.revision(forward.revision).to_string(),
        Outcome::Answer { route, .. } => format!("answer {route}"),
        Outcome::Redirect { status, location, .. } => {
            format!("{status} {}", location.to_str().expect("ASCII"))
        }
        Outcome::Unrouted => "unrouted".to_owned(),
        Outcome::Ambiguous => "ambiguous".to_owned(),
    }
}

#[test]
fn hosts_come_before_paths_and_the_nearest_before_the_rest() {
    let none = HeaderMap::new();
    for (host, target, expected) in [
        ("shop.example.com", "/", "shop/v1"),
        ("SHOP.example.com.:8080", "/cart?x=/admin", "shop/v1"),
        ("shop.example.com", "/admin", "shop/admin"),
        ("shop.example.com", "/admin/users", "shop/admin"),
        ("shop.example.com", "/administrator", "shop/v1"),
        ("www.shop.example.com", "/admin", "shop/v1"),
        ("next-shop.example.com", "/", "shop/v2"),
        ("old-www.shop.example.com", "/", "shop/v0"),
        ("other-shop.example.com", "/", "default/tenants"),
        ("a.b.example.com", "/", "default/tenants"),
        ("a.deep.example.com", "/", "default/deep"),
        ("deep.example.com", "/", "default/tenants"),
        ("shop.example.com", "/healthz", "shop/v1"),
        ("10.0.0.7:8012", "/healthz", "answer health"),
        ("", "/healthz", "answer health"),
        ("", "/", "unrouted"),
        ("example.com", "/", "unrouted"),
        ("notexample.com", "/", "unrouted"),
        ("old.example.com", "/a?b", "308 Permanent Redirect https://shop.example.com/a?b"),
    ] {
        assert_eq!(found(host, target, &none), expected, "{host} {target}");
    }
}

#[test]
fn tags_headers_and_cookies_choose_in_this_order() {
    let shop =
        |given: &[(&'static str, &'static str)]| found("shop.example.com", "/", &fields(given));
    assert_eq!(shop(&[("knative-serving-tag", "next"), ("x-beta", "yes")]), "shop/v2");
    assert_eq!(shop(&[("knative-serving-tag", "old"), ("x-beta", "yes")]), "shop/v0");
    assert_eq!(shop(&[("knative-serving-tag", "none"), ("cookie", "beta=1")]), "shop/v3");
    assert_eq!(shop(&[("x-beta", "yes"), ("cookie", "beta=1")]), "shop/v2");
    assert_eq!(shop(&[("x-beta", "no")]), "shop/v1");
    assert_eq!(shop(&[("x-beta", "yes"), ("x-beta", "yes")]), "shop/v1", "repeated");
    assert_eq!(shop(&[("cookie", "a=b; beta=on")]), "shop/v3");
    // What chooses on one host chooses nothing on another.
    let beta = fields(&[("x-beta", "yes"), ("knative-serving-tag", "next")]);
    assert_eq!(found("a.example.com", "/", &beta), "default/tenants");
    assert_eq!(found("shop.example.com", "/admin", &beta), "shop/admin");
}

#[test]
fn a_path_that_two_readers_route_differently_is_refused_where_it_matters() {
    let none = HeaderMap::new();
    for target in ["/x/../admin", "//admin", "/%2e%2e/admin", "/admin%2fusers", "/admin;a/b"] {
        assert_eq!(found("shop.example.com", target, &none), "ambiguous", "{target}");
        // One route takes all of this host's paths.
        assert_eq!(found("a.example.com", target, &none), "default/tenants", "{target}");
    }
}

#[test]
fn a_share_of_the_requests_is_mirrored() {
    let (table, headers) = (table(), HeaderMap::new());
    let mut count = 0;
    for number in 0..100_000_u64 {
        let draw = tidegate_routes::visitor::mix(number);
        let request =
            Request { host: Some("shop.example.com"), target: b"/", headers: &headers, draw };
        let Outcome::Forward(forward) = table.find(&request) else { panic!("it is forwarded") };
        if let Some(mirror) = forward.mirror {
            assert_eq!(table.revision(mirror).to_string(), "shop/shadow");
            count += 1;
        }
    }
    assert!((24_500..25_500).contains(&count), "{count} of 100000");
}

/// Hosts, paths and fields as attackers and proxies write them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,40}",
        "/(admin|healthz|x|\\.\\.|%2e%2e|%2f|;|\\\\|/){0,8}",
        Just("shop.example.com".to_owned()),
        "[a-z-]{1,9}\\.example\\.com(:[0-9]{1,5})?",
    ]
}

proptest! {
    /// Whatever a request says: it gets to no revision that the file does not name for its host.
    #[test]
    fn no_request_reaches_what_the_file_does_not_name(
        host in text(), target in text(), value in text(), draw: u64,
    ) {
        let table = table();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::try_from(value) {
            for name in ["x-beta", "cookie", "knative-serving-tag", "knative-serving-revision"] {
                headers.insert(name, value.clone());
            }
        }
        let request =
            Request { host: Some(&host), target: target.as_bytes(), headers: &headers, draw };
        match table.find(&request) {
            Outcome::Forward(forward) => {
                let route = table.route(forward.route).expect("it is a route");
                prop_assert!(forward.revision < table.revisions().len());
                prop_assert!(!route.hosts.is_empty());
                let lower = host.to_ascii_lowercase();
                prop_assert!(lower.contains(".example.com"), "{host} {target}");
            }
            Outcome::Redirect { location, .. } => {
                let place = location.to_str().expect("ASCII");
                prop_assert!(
                    place == "https://shop.example.com"
                        || place.starts_with("https://shop.example.com/"),
                    "{place}"
                );
            }
            Outcome::Answer { .. } | Outcome::Unrouted | Outcome::Ambiguous => {}
        }
    }

    /// A path that is followed leads where the reading that resolves everything leads.
    #[test]
    fn a_protected_path_is_not_slipped_past(
        target in "/(admin|x|y|\\.|%61dmin|%2f|;a|\\\\|/){0,6}",
    ) {
        let request = Request {
            host: Some("shop.example.com"),
            target: target.as_bytes(),
            headers: &HeaderMap::new(),
            draw: 0,
        };
        let table = table();
        let Outcome::Forward(forward) = table.find(&request) else { return Ok(()) };
        let lower = target.replace("%61", "a").replace("%2f", "/").replace('\\', "/");
        let mut segments = lower.split('/').map(|s| s.split(';').next().unwrap_or(""));
        let first = segments.find(|segment| !segment.is_empty());
        let is_admin = table.revision(forward.revision).name == "admin";
        prop_assert_eq!(first == Some("admin"), is_admin, "{}", target);
    }
}
