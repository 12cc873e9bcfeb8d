//! The story: readiness probes were Knative's to the letter, defects included. A pod
//! whose probe set a `Host` for the app's list of allowed hosts was never ready, because the header
//! was dropped; an app that redirects to single sign-on was never ready, because the redirect was
//! followed out of the pod; and an app on `[::1]` was never found. No app can depend on these, as
//! it gets no traffic. The reference is what the kubelet does with the same probe.

use std::net::{Ipv6Addr, TcpListener};

use crate::app::{App, Connection};
use crate::client::{assert_line, assert_no_header, get, root};
use crate::sidecar::Sidecar;

const KUBELET: &str = "User-Agent: kube-probe/1.30\r\nK-Network-Probe: queue\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn status(sidecar: &Sidecar) -> u16 {
    get(sidecar.ports.main, &root(KUBELET)).status
}

/// Probes once, with these parts of an `httpGet`.
fn http_get(app: &App, parts: &str) -> Sidecar {
    let probe = format!(
        "{{\"httpGet\":{{\"port\":{}{parts}}},\"periodSeconds\":1,\"timeoutSeconds\":5}}",
        app.port
    );
    Sidecar::start(app.port, &[("SERVING_READINESS_PROBE", &probe)])
}

/// An app whose response depends on the path.
fn app(respond: impl Fn(&str) -> String + Send + Sync + 'static) -> App {
    App::start(move |connection: &mut Connection| {
        while let Some(head) = connection.request() {
            let path = head.split(' ').nth(1).unwrap_or("").to_owned();
            connection.send(&respond(&path));
        }
    })
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn the_app_sees_the_host_and_the_headers_of_the_probe() {
    let app = app(|_| OK.to_owned());
    let headers = r#","path":"/h","httpHeaders":[{"name":"host","value":"shop.example"},
        {"name":"Host","value":"second.example"},{"name":"X-Two","value":"a"},
        {"name":"X-Two","value":"b"},{"name":"Accept","value":""},{"name":"X-Empty","value":""},
        {"name":"Content-Length","value":"7"},{"name":"Transfer-Encoding","value":"chunked"}]"#;
    assert_eq!(status(&http_get(&app, headers)), 200);
    let head = app.head();
    assert_line(&head, "Host: shop.example");
    assert_line(&head, "User-Agent: kube-probe//");
    assert_line(&head, "Connection: close");
    assert!(head.contains("\r\nX-Two: a\r\nX-Two: b\r\n"), "{head}");
    assert!(head.contains("\r\nX-Empty: \r\n") || head.contains("\r\nX-Empty:\r\n"), "{head}");
    assert_eq!(head.matches("Host:").count(), 1, "{head}");
    for name in ["accept", "accept-encoding", "content-length", "transfer-encoding"] {
        assert_no_header(&head, name);
    }
}

#[test]
fn an_empty_host_is_the_address_and_an_empty_agent_is_none() {
    let app = app(|_| OK.to_owned());
    let headers = r#","httpHeaders":[{"name":"Host","value":""},{"name":"User-Agent","value":""}]"#;
    assert_eq!(status(&http_get(&app, headers)), 200);
    let head = app.head();
    assert_line(&head, &format!("Host: 127.0.0.1:{}", app.port));
    assert_line(&head, "Accept: */*");
    assert_no_header(&head, "user-agent");
}

#[test]
fn a_redirect_to_another_host_passes_and_is_not_followed() {
    for location in [
        "https://sso.example.test/login",
        "//sso.example.test",
        "http://localhost:1/",
        "http://[::1]:1/",
        "mailto:somebody@example.test",
    ] {
        let app = app(move |_| redirect(location));
        let sidecar = http_get(&app, r#","path":"/old""#);
        assert_eq!(status(&sidecar), 200, "{location}");
        assert_eq!(app.requests(), 1, "{location}");
    }
}

#[test]
fn a_redirect_on_the_same_host_is_followed() {
    let app = app(|path| match path {
        "/a/old" => redirect("../new?x=1#part"),
        "/new?x=1" => OK.to_owned(),
        _ => "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
    });
    let host = r#","path":"/a/old","httpHeaders":[{"name":"Host","value":"shop.example"}]"#;
    assert_eq!(status(&http_get(&app, host)), 200);
    // A relative redirect keeps the host that the probe names, as Go's client does.
    for head in app.heads(2) {
        assert_line(&head, "Host: shop.example");
    }

    let (other, port) = (app, std::sync::Arc::new(std::sync::OnceLock::new()));
    let to = port.clone();
    let first =
        self::app(move |_| redirect(&format!("http://127.0.0.1:{}/new?x=1", to.get().unwrap())));
    port.set(other.port).unwrap();
    let host = r#","httpHeaders":[{"name":"Host","value":"shop.example"}]"#;
    assert_eq!(status(&http_get(&first, host)), 200);
    assert_line(&other.heads(3)[2], &format!("Host: 127.0.0.1:{}", other.port));
}

#[test]
fn a_redirect_loop_fails_after_ten_requests_and_names_its_target() {
    let app = app(|_| redirect("/login?token=S3CRET"));
    let sidecar = http_get(&app, r#","path":"/""#);
    assert_eq!(status(&sidecar), 503);
    assert_eq!(app.requests(), 10);
    let line = sidecar.stderr.wait_for("stopped after 10 requests");
    assert!(line.contains("/login?token=***"), "{line}");
}

#[test]
fn redirects_without_a_usable_target() {
    let cases = [
        ("", 200),
        ("http://127.0.0.1:junk/", 503),
        ("gopher://127.0.0.1/", 503),
        ("http://127.0.0.1:1/", 503),
    ];
    for (location, expected) in cases {
        let app = app(move |_| redirect(location));
        assert_eq!(status(&http_get(&app, "")), expected, "{location}");
    }
    // Other statuses of the 300s are no redirects.
    for code in [300, 304, 305, 306, 399] {
        let response = format!("HTTP/1.1 {code} X\r\nLocation: /no\r\nContent-Length: 0\r\n\r\n");
        let app = app(move |_| response.clone());
        assert_eq!((status(&http_get(&app, "")), app.requests()), (200, 1), "{code}");
    }
}

#[test]
fn the_reason_names_the_attempt_and_the_response() {
    let app = app(|_| "HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nno \x1b[2J!\n".to_owned());
    let sidecar = http_get(&app, r#","path":"/h?token=S3CRET""#);
    assert_eq!(status(&sidecar), 503);
    let line = sidecar.stderr.wait_for("readiness probe failed");
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = format!(
        "readiness probe failed: GET http://127.0.0.1:{}/h?token=***: HTTP probe failed with \
         status 500, expected 200 to 399; its body begins \"no \\u{{1b}}[2J!\"",
        app.port
    );
    assert_eq!(json["message"], expected);
    let exec = r#"{"exec":{"command":["true"]},"periodSeconds":1}"#;
    let sidecar = Sidecar::start(app.port, &[("SERVING_READINESS_PROBE", exec)]);
    assert_eq!(status(&sidecar), 503);
    sidecar.stderr.wait_for("a sidecar cannot enter");
}

#[test]
fn a_reason_is_logged_when_it_changes_and_not_for_each_probe() {
    let app = app(|_| "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned());
    let mut sidecar = http_get(&app, "");
    for _ in 0..20 {
        assert_eq!(status(&sidecar), 503);
    }
    sidecar.signal("TERM");
    sidecar.wait();
    assert_eq!(sidecar.stderr.all().matches("readiness probe failed").count(), 1);
}

/// A listener on `[::1]`, where there is IPv6, at a port that nobody else is given on 127.0.0.1.
fn on_six_alone() -> Option<TcpListener> {
    let port = || tidegate_reserved_port::reserve().unwrap().port();
    // Somebody may have the port on `[::1]`, and hardly ten times in a row.
    (0..10).find_map(|_| TcpListener::bind((Ipv6Addr::LOCALHOST, port())).ok())
}

/// Servers that bind `localhost` are on `[::1]` alone on many machines.
#[test]
fn an_app_on_ipv6_loopback_is_found_and_served() {
    let Some(six) = on_six_alone() else { return };
    let port = six.local_addr().unwrap().port();
    let app = App::serve(six, |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix");
        }
    });
    let probe = format!("{{\"httpGet\":{{\"port\":{port},\"host\":\"127.0.0.1\"}}}}");
    let sidecar = Sidecar::start(port, &[("SERVING_READINESS_PROBE", &probe)]);
    assert_eq!(status(&sidecar), 200);
    for _ in 0..3 {
        assert_eq!(get(sidecar.ports.main, &root("")).text(), "six");
    }
    assert_line(&app.head(), &format!("Host: 127.0.0.1:{port}"));
}

/// Which of the two works is learned from refusals, in both directions.
#[test]
fn an_app_that_moves_from_one_loopback_to_the_other_is_followed() {
    let Some(six) = on_six_alone() else { return };
    let port = six.local_addr().unwrap().port();
    let responding = |text: &'static str| {
        move |connection: &mut Connection| {
            connection.request();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
            connection.send(&format!("{head} {}\r\n\r\n{text}", text.len()));
        }
    };
    let sidecar = Sidecar::start(port, &[]);
    let ask = || get(sidecar.ports.main, &root("")).text().to_owned();
    App::serve_one(six, responding("six"));
    assert_eq!(ask(), "six");
    let Ok(four) = TcpListener::bind(("127.0.0.1", port)) else { return };
    App::serve_one(four, responding("four"));
    assert_eq!(ask(), "four");
    let refused = get(sidecar.ports.main, &root(""));
    let expected = format!("dial tcp 127.0.0.1:{port}: connect: connection refused\n");
    assert_eq!((refused.status, refused.text()), (502, &expected[..]));
}
