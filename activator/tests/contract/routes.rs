//! Requests that routes send to revisions, answer, send elsewhere and copy.

use std::time::Duration;

use tidegate_activator::{Config, Running, Table};
use tidegate_reporter::{Endpoint, RevisionName};

use crate::app::App;
use crate::client::{exchange, get};
use crate::controller::Controller;
use crate::stage::{POLL_PERIOD, close_whole, config, open};

fn table(text: &str) -> Table {
    Table::parse(text).unwrap()
}

fn revision(name: &str) -> RevisionName {
    RevisionName { namespace: "default".into(), name: name.into() }
}

/// An activator with these instances, routed by this table, and without a default revision.
fn routed(apps: &[(&str, &App)], text: &str) -> Config {
    let endpoint = |(name, app): &(&str, &App)| {
        let address = app.address.to_string();
        (revision(name), Endpoint { instance: format!("{name}-1"), address, limit: 0 })
    };
    Config {
        endpoints: apps.iter().map(endpoint).collect(),
        default_revision: None,
        routes: Some(table(text)),
        ..config(None)
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

fn arrived(running: &Running, name: &str) -> u64 {
    running.throttler().of(&revision(name)).map_or(0, |throttler| throttler.status().requests)
}

#[tokio::test]
async fn hosts_paths_tags_and_headers_choose_the_revision() {
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = r#"
        [route.shop]
        hosts = ["shop.example.com"]
        split = { v1 = 100, v2 = 0 }
        tags = { next = "v2" }
        when = [{ header = "x-beta", to = "v2" }]
        [route.api]
        hosts = ["shop.example.com"]
        path = "/api"
        to = "v2"
        [route.nobody]
        hosts = ["nobody.example.com"]
        to = "v9"
    "#;
    let (running, address) = open(routed(&[("v1", &one), ("v2", &two)], text));
    let shop = "Host: shop.example.com";
    let named = ["Knative-Serving-Namespace: default", "Knative-Serving-Revision: v2"];
    for (path, lines, served) in [
        ("/", &[shop][..], [1, 0]),
        ("/api/x", &[shop], [1, 1]),
        ("/", &["Host: next-shop.example.com"], [1, 2]),
        ("/", &[shop, "X-Beta: 1"], [1, 3]),
        ("/", &[shop, "Knative-Serving-Tag: next"], [1, 4]),
        // What a route is for it decides, whatever revision the request names.
        ("/", &[shop, named[0], named[1]], [2, 4]),
        // Where no route is, the request does.
        ("/", &named, [2, 5]),
        ("http://shop.example.com/", &["Host: other.example.com"], [3, 5]),
    ] {
        assert_eq!(get(address, path, lines).await.unwrap().status, 200, "{path} {lines:?}");
        assert_eq!([one.served(), two.served()], served, "{path} {lines:?}");
    }
    for (path, lines, status) in [
        ("/x/../api", &[shop][..], 400),
        ("/api%2fx", &[shop], 400),
        ("/", &["Host: nobody.example.com"], 404),
        ("/", &["Host: other.example.com"], 404),
        ("/", &[shop, "Knative-Serving-Revision: \u{e4}"], 400),
        ("/", &[shop, "Host: nobody.example.com"], 400),
    ] {
        assert_eq!(get(address, path, lines).await.unwrap().status, status, "{path} {lines:?}");
    }
    assert_eq!([one.served(), two.served()], [3, 5]);
    close_whole(running).await;
}

/// A request that came by the host of a tag did not say the tag to its app, nor to the metrics of
/// its sidecar, as it does behind Knative's ingresses.
#[tokio::test]
async fn instances_are_told_by_which_tag_a_request_came() {
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = r#"
        [route.shop]
        hosts = ["shop.example.com"]
        to = "v1"
        tags = { next = "v2" }
        [route.plain]
        hosts = ["plain.example.com"]
        to = "v1"
    "#;
    let (running, address) = open(routed(&[("v1", &one), ("v2", &two)], text));
    let spoofed = ["Knative-Serving-Tag: mine", "Knative-Serving-Default-Route: mine"];
    let next = "Knative-Serving-Tag: next";
    for (lines, app, tag, default_route) in [
        (&["Host: next-shop.example.com"][..], &two, Some("next"), None),
        (&["Host: next-shop.example.com", spoofed[0], spoofed[1]], &two, Some("next"), None),
        (&["Host: shop.example.com", next, spoofed[1]], &two, Some("next"), None),
        (&["Host: shop.example.com"], &one, None, Some("true")),
        (&["Host: shop.example.com", spoofed[0]], &one, Some("mine"), Some("true")),
        (&["Host: plain.example.com"], &one, None, None),
    ] {
        assert_eq!(get(address, "/", lines).await.unwrap().status, 200, "{lines:?}");
        let headers = app.seen.last_headers.lock().unwrap().clone();
        let told = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(told("knative-serving-tag").as_deref(), tag, "{lines:?}");
        let default = told("knative-serving-default-route");
        assert_eq!(default.as_deref(), default_route, "{lines:?}");
    }
    close_whole(running).await;
}

#[tokio::test]
async fn a_visitor_gets_its_number_once_and_stays() {
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = "[route.a]\nsticky = \"visitor\"\nsplit = { v1 = 50, v2 = 50 }";
    let (running, address) = open(routed(&[("v1", &one), ("v2", &two)], text));
    for _ in 0..20 {
        let before = [one.served(), two.served()];
        let first = get(address, "/", &[]).await.unwrap();
        let line = first.head.lines().find(|line| line.starts_with("set-cookie:")).unwrap();
        assert!(line.contains("httponly") && !line.contains("secure"), "{line}");
        let pair = line["set-cookie: ".len()..].split(';').next().unwrap();
        let chosen = [one.served() - before[0], two.served() - before[1]];
        let cookie = format!("Cookie: other=1; {pair}");
        for _ in 0..3 {
            let again = get(address, "/", &[&cookie]).await.unwrap();
            assert!(!again.head.contains("set-cookie"), "{}", again.head);
        }
        let now = [one.served() - before[0], two.served() - before[1]];
        assert_eq!(now, chosen.map(|count| count * 4));
    }
    close_whole(running).await;
}

#[tokio::test]
async fn static_routes_and_redirects_reach_no_app() {
    let app = App::start(Duration::ZERO).await;
    let text = r#"
        [route.health]
        exact = "/health"
        answer = { body = "fine\n", headers = { Cache-Control = "no-store" } }
        [route.gone]
        path = "/gone"
        answer = { status = 410 }
        [route.old]
        path = "/old"
        redirect = { to = "/", status = 308, keep_path = true }
        [route.rest]
        to = "v1"
    "#;
    let (running, address) = open(routed(&[("v1", &app)], text));
    let health = get(address, "/health?x", &[]).await.unwrap();
    assert_eq!((health.status, health.body.as_str()), (200, "fine\n"));
    assert!(health.has("cache-control: no-store"), "{}", health.head);
    assert!(health.has("content-type: text/plain; charset=utf-8"), "{}", health.head);
    assert_eq!(get(address, "/gone/x", &[]).await.unwrap().status, 410);
    for (target, location) in [
        ("/old/a?b", "location: /a?b"),
        ("/old//evil.example", "location: /evil.example"),
        ("/old/\\evil.example", "location: /evil.example"),
        ("/old/%0d%0aset-cookie:x=y", "location: /%0d%0aset-cookie:x=y"),
    ] {
        let response = get(address, target, &[]).await.unwrap();
        assert_eq!(response.status, 308, "{target}");
        assert!(response.has(location), "{target}: {}", response.head);
        assert!(!response.head.contains("\nset-cookie"), "{}", response.head);
    }
    let head = exchange(address, b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = String::from_utf8(head.await).unwrap();
    assert!(head.ends_with("\r\n\r\n"), "no body after HEAD: {head}");
    assert_eq!((app.served(), arrived(&running, "v1")), (0, 0));
    assert_eq!(get(address, "/x", &[]).await.unwrap().status, 200);
    assert_eq!(app.served(), 1);
    close_whole(running).await;
}

/// A request waits for an instance while its route changes: it goes where it was to go, and the
/// next one goes elsewhere.
#[tokio::test]
async fn a_change_is_atomic_for_requests_in_flight() {
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = "[route.a]\nsplit = { v1 = 100, v2 = 0 }";
    let (running, address) = open(routed(&[("v1", &one), ("v2", &two)], text));
    let held = tokio::spawn(async move { get(address, "/gate", &[]).await });
    until(|| one.seen.in_flight.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
    running.routes().set(table("[route.a]\nsplit = { v1 = 0, v2 = 100 }"));
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    assert_eq!([one.served(), two.served()], [0, 1]);
    one.seen.gate.add_permits(1);
    assert_eq!(held.await.unwrap().unwrap().status, 200);
    assert_eq!([one.served(), two.served()], [1, 1]);
    close_whole(running).await;
}

#[tokio::test]
async fn a_copy_goes_to_another_revision_and_nobody_waits_for_it() {
    let (one, shadow) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = "[route.a]\nto = \"v1\"\nmirror = { to = \"shadow\" }";
    let (running, address) = open(routed(&[("v1", &one), ("shadow", &shadow)], text));
    let spoofed = ["tidegate-mirrored: true", "X-Forwarded-For: 9.9.9.9"];
    assert_eq!(get(address, "/a?b", &spoofed).await.unwrap().status, 200);
    until(|| shadow.served() == 1).await;
    assert!(!one.seen.last_headers.lock().unwrap().contains_key("tidegate-mirrored"));
    let copied = shadow.seen.last_headers.lock().unwrap().clone();
    assert_eq!(copied["tidegate-mirrored"], "true");
    assert_eq!(copied["host"], "app.example");
    assert_eq!(copied["x-forwarded-for"], "9.9.9.9, 127.0.0.1");
    // The shadow does not answer, and nobody notices.
    for _ in 0..20 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    until(|| arrived(&running, "shadow") == 21).await;
    // One that is dead harms nobody either.
    shadow.kill();
    for _ in 0..20 {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    assert_eq!(running.outcomes().snapshot().failures(), 0);
}

/// Bodies as they come at a shadow, one connection each.
async fn bodies() -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, bodies) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let body = loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let head = head.to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length.is_some_and(|length| length.parse() == Ok(body.len())) {
                    break body.to_owned();
                }
            };
            let _ = told.send(body);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    (address, bodies)
}

/// A request with a body was not copied.
#[tokio::test]
async fn a_copy_has_the_whole_body_or_there_is_none() {
    let app = App::start(Duration::ZERO).await;
    let (shadow, mut bodies) = bodies().await;
    let text = "[route.a]\nto = \"v1\"\nmirror = { to = \"shadow\" }";
    let mut config = routed(&[("v1", &app)], text);
    let shadow = Endpoint { instance: "s-1".into(), address: shadow.to_string(), limit: 1 };
    config.endpoints.push((revision("shadow"), shadow));
    let (running, address) = open(config);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    let long = "x".repeat(64 * 1024);
    let chunks = "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\n\r\n".to_owned();
    let known = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let longer = format!("{long}x");
    let in_chunks =
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{longer}\r\n0\r\n\r\n", longer.len());
    for (rest, copied) in [
        (known("hi"), Some("hi")),
        (chunks, Some("hiyou")),
        (known(&long), Some(&*long)),
        (known(&longer), None),
        (in_chunks, None),
        (known("last"), Some("last")),
    ] {
        let response = exchange(address, format!("{head}{rest}").as_bytes()).await;
        assert!(response.starts_with(b"HTTP/1.1 200"));
        if let Some(copied) = copied {
            assert_eq!(bodies.recv().await.as_deref(), Some(copied));
        }
    }
    // Only the begin of a body comes: nobody gets it for the whole.
    let begin = format!("{head}Content-Length: 9\r\n\r\nhi");
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut client, begin.as_bytes()).await.unwrap();
    until(|| arrived(&running, "v1") == 7).await;
    drop(client);
    until(|| running.outcomes().snapshot().left == 1).await;
    let response = exchange(address, format!("{head}{}", known("end")).as_bytes()).await;
    assert!(response.starts_with(b"HTTP/1.1 200"));
    assert_eq!(bodies.recv().await.as_deref(), Some("end"));
    close_whole(running).await;
}

/// What the controller says takes the place of what held before, and what cannot be followed
/// changes nothing.
#[tokio::test]
async fn the_controllers_newest_word_is_followed() {
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let controller = Controller::start().await;
    let mut config = routed(&[("v1", &one), ("v2", &two)], "[route.a]\nto = \"v1\"");
    config.controller = Some(controller.address.to_string());
    let (running, address) = open(config);
    let goes_to = async || {
        let before = [one.served(), two.served()];
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
        if one.served() > before[0] { "v1" } else { "v2" }
    };
    assert_eq!(goes_to().await, "v1");
    let shares = || {
        let table = running.routes().table().unwrap();
        let shares = table.shares("b").unwrap_or_default();
        shares.iter().map(|(_, share)| share.millionths()).collect::<Vec<u32>>()
    };
    const TABLE: &str = "[route.b]\nsplit = { v1 = 100, v2 = 0 }";
    controller.route(TABLE, &[]);
    until(|| shares() == [1_000_000, 0]).await;
    controller.route(TABLE, &[("b", &[("v2", 1_000_000)])]);
    until(|| shares() == [0, 1_000_000]).await;
    assert_eq!(goes_to().await, "v2");
    // None of these can be followed; the last one can.
    controller.route("[route.b", &[]);
    controller.route(TABLE, &[("b", &[("v2", 999_999)])]);
    controller.route(TABLE, &[("b", &[("v9", 1_000_000)])]);
    controller.route(TABLE, &[("c", &[("v2", 1_000_000)])]);
    assert_eq!(goes_to().await, "v2");
    controller.route(TABLE, &[("b", &[("v1", 300_000), ("v2", 700_000)])]);
    until(|| shares() == [300_000, 700_000]).await;
    close_whole(running).await;
}

/// A million would take a minute; the library's test does that. Here, whole requests are counted in
/// the apps.
#[tokio::test]
async fn requests_are_divided_as_the_file_says() {
    const REQUESTS: u32 = 2_000;
    let (one, two) = (App::start(Duration::ZERO).await, App::start(Duration::ZERO).await);
    let text = "[route.a]\nsplit = { v1 = 70, v2 = 30 }";
    let (running, address) = open(routed(&[("v1", &one), ("v2", &two)], text));
    for _ in 0..REQUESTS {
        assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    }
    let error = (f64::from(REQUESTS) * 0.7 * 0.3).sqrt();
    let distance = (f64::from(one.served()) - f64::from(REQUESTS) * 0.7).abs();
    assert!(distance <= 4.0 * error, "{} of {REQUESTS} at 70 %", one.served());
    assert_eq!(one.served() + two.served(), REQUESTS);
    close_whole(running).await;
}
