//! What `Host` is refused for is refused in every other header that sets the host.
//!
//! The story: `K-Original-Host` becomes `Host` on the way to the app, and was not validated,
//! so it let through what `Host` itself is refused for.

use crate::app::App;
use crate::client::{Client, assert_line, assert_no_header, get, root};
use crate::sidecar::Sidecar;

/// Hosts that are none: an empty one, user information, blanks, delimiters, ports and addresses
/// that are none.
const NO_HOSTS: [&str; 14] = [
    "u@h", "u:p@h", "a b", "a\tb", "a/b", "a\\b", "a%2", "a%zz", "h:x", "h:99999", "::1", "[::1",
    "[x]", "[]",
];

#[test]
fn every_header_that_names_a_host_is_validated_alike() {
    let app = App::hello();
    let sidecar = Sidecar::start(app.port, &[]);
    for host in NO_HOSTS {
        for head in [
            format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: h\r\nK-Original-Host: {host}\r\n\r\n"),
            format!("GET / HTTP/1.1\r\nHost: h\r\nK-ORIGINAL-HOST:\t{host}\t\r\n\r\n"),
            format!("GET http://{host}/ HTTP/1.1\r\nHost: h\r\n\r\n"),
        ] {
            if head.contains("://a/b/") {
                // Behind the first slash a path begins, and what stands in front of it is a host.
                continue;
            }
            assert_eq!(get(sidecar.ports.main, &head).status, 400, "{head:?}");
        }
    }
    let twice = "K-Original-Host: a\r\nK-Original-Host: b\r\n";
    assert_eq!(get(sidecar.ports.main, &root(twice)).status, 400);
    assert_eq!(app.requests(), 0, "nothing of all this is for the app");
    assert_eq!(get(sidecar.ports.main, &root("K-Original-Host: O.example:81\r\n")).status, 200);
    assert_line(&app.head(), "Host: O.example:81");
}

#[test]
fn trailers_cannot_set_the_host() {
    let app = App::start(|connection| {
        if connection.request().is_some() {
            let rest = connection.body_until("\r\n\r\n");
            connection
                .send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{rest}", rest.len()));
        }
    });
    let sidecar = Sidecar::start(app.port, &[]);
    let mut client = Client::connect(sidecar.ports.main);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("2\r\nab\r\n0\r\nHost: evil\r\nK-Original-Host: evil\r\n");
    client.send("Knative-Serving-Revision: x\r\nX-Checksum: 1\r\nContent-Length: 9\r\n\r\n");
    let rest = client.response().text().to_owned();
    assert_line(&rest, "X-Checksum: 1");
    for gone in ["host", "k-original-host", "knative-serving-revision", "content-length"] {
        assert_no_header(&rest, gone);
    }
}
