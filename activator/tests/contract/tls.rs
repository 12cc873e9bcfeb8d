//! HTTP over TLS at the activator, and what is spoken inside.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tidegate_activator::{Config, TlsListen};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::App;
use crate::client::get;
use crate::stage::{close_whole, fixed, open};

/// Writes a pair for `name` and trusts it.
fn write_pair(folder: &Path, name: &str, roots: &mut RootCertStore) {
    let pair = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    roots.add(pair.cert.der().clone()).unwrap();
}

pub(crate) async fn connect(
    address: SocketAddr,
    roots: &RootCertStore,
    name: &str,
    alpn: &[u8],
) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn both_protocols_are_served_over_tls_beside_the_plain_port() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut roots = RootCertStore::empty();
    write_pair(folders[0].path(), "one.example", &mut roots);
    write_pair(folders[1].path(), "two.example", &mut roots);
    let app = App::start(Duration::ZERO).await;
    let certificates = folders.each_ref().map(|folder| folder.path().to_owned()).to_vec();
    let tls = Some(TlsListen { address: ([127, 0, 0, 1], 0).into(), certificates });
    let (running, address) = open(Config { tls, ..fixed(&[(&app, 2)]) });
    let secure = running.addresses().tls.unwrap();
    for name in ["one.example", "two.example"] {
        let stream = connect(secure, &roots, name, b"h2").await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..10 {
            let request = Request::get(format!("https://{name}/")).body(Empty::<Bytes>::new());
            let response = sender.send_request(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
        }
        let stream = connect(secure, &roots, name, b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/").header("host", name).body(Empty::<Bytes>::new());
        assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
        let headers = app.seen.last_headers.lock().unwrap().clone();
        assert_eq!(headers["x-forwarded-proto"], "https", "the app knows how its client came");
    }
    assert_eq!(get(address, "/", &[]).await.unwrap().status, 200);
    let headers = app.seen.last_headers.lock().unwrap().clone();
    assert!(!headers.contains_key("x-forwarded-proto"), "{headers:?}");
    close_whole(running).await;
}
