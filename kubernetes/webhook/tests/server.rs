//! An API server's side: TLS against the published bundle, HTTP/1.1, one `AdmissionReview` a time.

#![expect(clippy::unwrap_used, reason = "what cannot be reached fails the test")]

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_webhook::server::BODY_BYTES_MAX;
use tidegate_kubernetes_webhook::{Keeper, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A running webhook, and the authorities that verify it.
struct Webhook {
    address: SocketAddr,
    bundle: String,
    _folder: tempfile::TempDir,
}

async fn start() -> Webhook {
    let folder = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(folder.path(), &["localhost".to_owned()]).unwrap();
    let bundle = keeper.bundle().borrow().clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut settings = Settings::default();
    settings.set("image", "registry.example/queue-proxy:0.1.0").unwrap();
    let config = keeper.config();
    let config = move || Arc::clone(&config.borrow());
    tokio::spawn(serve(listener, config, settings, |_| {}));
    tokio::spawn(keeper.run());
    Webhook { address, bundle, _folder: folder }
}

/// Sends a request as an API server does, and returns status and body.
async fn ask(webhook: &Webhook, bundle: &str, request: &[u8]) -> std::io::Result<(u16, String)> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(webhook.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    // A request that is refused before its end is read gets its connection closed.
    let _ = stream.write_all(request).await;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, body.to_owned()))
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path}?timeout=2s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn question(spec: &Value) -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "399ac23e-234c-4157-9d6c-3e347f25cba3",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "shop",
            "operation": "CREATE",
            "object": {
                "metadata": {"name": "web", "annotations": {"tidegate.dev/inject": "enabled"}},
                "spec": spec,
            },
        },
    })
}

#[tokio::test]
async fn an_api_server_gets_a_patch() {
    let webhook = start().await;
    let spec = json!({"containers": [{"name": "app", "ports": [{"containerPort": 8080}]}]});
    let request = request("POST", "/inject", &question(&spec).to_string());
    let (status, body) = ask(&webhook, &webhook.bundle, &request).await.unwrap();
    assert_eq!(status, 200);
    let response: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(response["response"]["uid"], "399ac23e-234c-4157-9d6c-3e347f25cba3");
    assert_eq!(response["response"]["patchType"], "JSONPatch");
}

#[tokio::test]
async fn requests_that_are_no_review_are_refused_within_bounds() {
    let webhook = start().await;
    let huge = "x".repeat(BODY_BYTES_MAX + 1);
    for (method, path, body, expected) in [
        ("POST", "/inject", "{}", 400),
        ("POST", "/inject", huge.as_str(), 413),
        ("GET", "/inject", "", 405),
        ("POST", "/other", "", 404),
        ("GET", "/healthz", "", 200),
    ] {
        let request = request(method, path, body);
        let (status, _) = ask(&webhook, &webhook.bundle, &request).await.unwrap();
        // The end of a request that is too long may come after the connection's.
        let is_cut = expected == 413 && status == 0;
        assert!(status == expected || is_cut, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn other_authorities_do_not_verify_it() {
    let (webhook, other) = (start().await, start().await);
    let request = request("GET", "/healthz", "");
    assert!(ask(&webhook, &other.bundle, &request).await.is_err());
}
