//! The page over real sockets: what it answers, to whom, and within which bounds.

#[path = "../stage/client.rs"]
mod client;
mod many;
#[path = "../stage/oracle.rs"]
mod oracle;
mod orders;
mod slow;
mod watching;
mod what_if;
#[path = "../stage/world.rs"]
mod world;

use std::net::SocketAddr;

use tidegate_page::{Access, Page, Serving, Settings};
use tidegate_trust::Secret;
use tokio::net::TcpListener;

use client::ask;
use world::{World, open};

const SECRET: &str = "0123456789abcdef";

/// Where every page of `localhost` comes from.
const OURS: (&str, &str) = ("Origin", "http://localhost");

fn secret() -> Settings {
    let secret = Secret::new(SECRET, "a test").expect("valid");
    Settings { access: Access::Secret(secret.into()), ..open() }
}

/// The page of a controller on a free port.
async fn page(world: &World, settings: Settings) -> (Serving, SocketAddr) {
    let page = Page::start(world.handle.clone(), settings).expect("there is randomness");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let serving = page.serve(listener).expect("it has an address");
    let address = serving.address();
    (serving, address)
}

fn bearer(text: &str) -> String {
    format!("Bearer {text}")
}

#[tokio::test]
async fn what_a_browser_loads_says_what_it_may_do() {
    let (_serving, address) = page(&World::start(), secret()).await;
    for (path, kind) in [
        ("/page", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let answer = ask(address, ("GET", path), &[]).await;
        assert_eq!((answer.status, answer.field("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.field("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.field("x-frame-options"), Some("DENY"));
        assert_eq!(answer.field("access-control-allow-origin"), None);
        assert!(!answer.body.contains(SECRET));
        let head = ask(address, ("HEAD", path), &[]).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert_eq!(ask(address, ("POST", path), &[]).await.status, 405);
    }
    assert_eq!(ask(address, ("GET", "/page/other"), &[]).await.status, 404);
    assert_eq!(ask(address, ("GET", "/other"), &[]).await.status, 404);
    assert_eq!(ask(address, ("GET", "/pages"), &[]).await.status, 404);
    assert_eq!(ask(address, ("GET", "/page/sign-in"), &[OURS]).await.status, 405);
}

#[tokio::test]
async fn a_name_that_leads_here_is_not_enough() {
    let settings = Settings { hosts: vec!["page.example.com".to_owned()], ..open() };
    let (_serving, address) = page(&World::start(), settings).await;
    for path in ["/page", "/page/about", "/page/events", "/page/orders"] {
        for host in ["rebound.example", "localhost.rebound.example", "127.0.0.1.rebound.example"] {
            let answer = ask(address, ("GET", path), &[("Host", host)]).await;
            assert_eq!(answer.status, 421, "{path} under {host}");
            assert!(!answer.body.contains("signed_in"));
        }
    }
    for host in ["localhost:1234", "127.0.0.1", "[::1]:9", "page.example.com:80"] {
        assert_eq!(ask(address, ("GET", "/page/about"), &[("Host", host)]).await.status, 200);
    }
}

#[tokio::test]
async fn nothing_is_told_without_the_secret_or_a_link() {
    let world = World::start();
    let (_serving, address) = page(&world, secret()).await;
    let about = ask(address, ("GET", "/page/about"), &[]).await.json();
    assert_eq!(about.to_string(), r#"{"signed_in":false}"#);
    let wrong = bearer("0123456789abcdeX");
    for fields in [&[][..], &[("Authorization", wrong.as_str())], &[("Cookie", SECRET)]] {
        for view in ["fleet", "routes", "revision&of=default/web"] {
            let target = format!("/page/events?view={view}");
            let answer = ask(address, ("GET", &target), fields).await;
            assert_eq!(answer.status, 401, "{}", answer.body);
        }
        for path in ["/page/sign-in", "/page/link", "/page/orders?route=a&order=pause"] {
            let fields = [fields, &[OURS]].concat();
            assert_eq!(ask(address, ("POST", path), &fields).await.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn the_secret_signs_in_and_a_link_does_once() {
    let (_serving, address) = page(&World::start(), secret()).await;
    let shown = bearer(SECRET);
    let fields = [("Authorization", shown.as_str()), OURS];
    let signed_in = ask(address, ("POST", "/page/sign-in"), &fields).await.json();
    let session = bearer(signed_in["session"].as_str().expect("a session"));
    let ours = [("Authorization", session.as_str()), OURS];
    let about = ask(address, ("GET", "/page/about"), &ours).await.json();
    assert_eq!((&about["signed_in"], &about["asks"]), (&true.into(), &true.into()));
    let link = ask(address, ("POST", "/page/link"), &ours).await.json();
    let link = bearer(link["link"].as_str().expect("a link"));
    let linked = [("Authorization", link.as_str()), OURS];
    assert_eq!(ask(address, ("GET", "/page/events"), &linked).await.status, 401);
    assert_eq!(ask(address, ("POST", "/page/sign-in"), &linked).await.status, 200);
    assert_eq!(ask(address, ("POST", "/page/sign-in"), &linked).await.status, 401, "used up");
}

#[tokio::test]
async fn pages_of_others_are_refused_whatever_they_show() {
    let (_serving, address) = page(&World::start(), open()).await;
    let cross = ("Sec-Fetch-Site", "cross-site");
    assert_eq!(ask(address, ("GET", "/page/events"), &[cross]).await.status, 403);
    for path in ["/page/sign-in", "/page/link", "/page/orders?route=a&order=pause"] {
        for fields in [&[][..], &[("Origin", "http://other.example")], &[OURS, cross]] {
            assert_eq!(ask(address, ("POST", path), fields).await.status, 403, "{path}");
        }
    }
}
