//! TLS on the main listener.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::app::{App, eventually};
use crate::client::Client;
use crate::sidecar::Sidecar;

/// Writes a new pair for `localhost` and returns a configuration that trusts it.
fn write_pair(directory: &Path) -> RootCertStore {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("tls.crt"), pair.cert.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    roots
}

/// Sends a request over TLS; `None` when the handshake fails.
fn ask(port: u16, roots: &RootCertStore, alpn: &[u8]) -> Option<(Vec<u8>, String)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
        let request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut response = String::new();
        let _ = stream.read_to_string(&mut response).await;
        Some((agreed, response))
    })
}

#[test]
fn the_main_listener_serves_tls_when_there_is_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let roots = write_pair(directory.path());
    let app = App::hello();
    let path = directory.path().to_str().unwrap();
    let changes =
        [("TIDEGATE_CERTIFICATE_DIRECTORY", path), ("TIDEGATE_CERTIFICATE_POLL_MS", "50")];
    let sidecar = Sidecar::start(app.port, &changes);
    let (agreed, response) = ask(sidecar.ports.tls, &roots, b"http/1.1").unwrap();
    assert_eq!(agreed, b"http/1.1");
    assert!(response.ends_with("hello"), "{response}");
    let (agreed, _) = ask(sidecar.ports.tls, &roots, b"h2").unwrap();
    assert_eq!(agreed, b"h2");

    let mut plain = Client::connect(sidecar.ports.tls);
    plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = String::from_utf8(plain.bytes(200)).unwrap();
    assert!(response.starts_with("HTTP/1.0 400 Bad Request\r\n\r\n"), "{response}");
    assert!(response.contains("Client sent an HTTP request to an HTTPS server."), "{response}");

    // A new pair is served without a restart, and the plain listener works beside it.
    let roots = write_pair(directory.path());
    eventually("the new certificate", || ask(sidecar.ports.tls, &roots, b"http/1.1").is_some());
    assert_eq!(crate::client::get(sidecar.ports.main, &crate::client::root("")).text(), "hello");
}

#[test]
fn tls_versions_below_1_2_prevent_the_start() {
    let directory = tempfile::tempdir().unwrap();
    write_pair(directory.path());
    let path = directory.path().to_str().unwrap();
    let changes =
        [("TIDEGATE_CERTIFICATE_DIRECTORY", path), ("QUEUE_PROXY_TLS_MIN_VERSION", "1.1")];
    let mut sidecar = Sidecar::spawn(1, &changes);
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(sidecar.stderr.all().contains("QUEUE_PROXY_TLS_MIN_VERSION"));
}

#[test]
fn a_certificate_without_a_key_means_no_tls() {
    let directory = tempfile::tempdir().unwrap();
    write_pair(directory.path());
    std::fs::remove_file(directory.path().join("tls.key")).unwrap();
    let path = directory.path().to_str().unwrap();
    let sidecar = Sidecar::start(1, &[("TIDEGATE_CERTIFICATE_DIRECTORY", path)]);
    assert_eq!(sidecar.ports.tls, 0);
}

/// As the kubelet does: a pod's certificate is self-signed.
#[test]
fn probes_over_tls_do_not_verify_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    write_pair(directory.path());
    let hello = App::hello();
    let path = directory.path().to_str().unwrap();
    let app = Sidecar::start(hello.port, &[("TIDEGATE_CERTIFICATE_DIRECTORY", path)]);
    let kubelet = crate::client::root("User-Agent: kube-probe/1\r\nK-Network-Probe: queue\r\n");
    for (scheme, port, expected) in [
        ("HTTPS", app.ports.tls, 200),
        ("https", app.ports.tls, 200),
        ("HTTP", app.ports.tls, 503),
        ("HTTPS", app.ports.main, 503),
    ] {
        // With another agent, as the usual one would be a probe to the second sidecar.
        let probe = format!(
            "{{\"httpGet\":{{\"port\":{port},\"scheme\":\"{scheme}\",\"httpHeaders\":\
             [{{\"name\":\"Host\",\"value\":\"shop.example\"}},\
             {{\"name\":\"User-Agent\",\"value\":\"mine\"}}]}},\"periodSeconds\":1,\
             \"timeoutSeconds\":5}}"
        );
        let sidecar = Sidecar::start(1, &[("SERVING_READINESS_PROBE", &probe)]);
        let status = crate::client::get(sidecar.ports.main, &kubelet).status;
        assert_eq!(status, expected, "{scheme} {port}");
    }
    assert!(hello.heads(2).iter().all(|head| head.contains("\r\nHost: shop.example\r\n")));
}
