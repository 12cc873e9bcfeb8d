//! TLS over real sockets: which certificate a client is shown, what is spoken inside, certificates
//! that are replaced, and clients that never finish their handshake.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidegate_relay::http::StatusCode;
use tidegate_relay::{Drain, Exchange, Handler, Phase, Reply, Server, ServerSettings};
use tidegate_tls::{Acceptor, Certificates, HANDSHAKE_TIMEOUT};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that says nothing for longer than its handshake might take.
const SILENCE: Duration = Duration::from_millis(500);

struct Hello;

impl Handler for Hello {
    async fn handle(&self, exchange: &mut Exchange) {
        let _ = exchange.respond(Reply::text(StatusCode::OK, "hello")).await;
    }
}

/// A listener with certificates in these folders.
struct Front {
    address: SocketAddr,
    drain: Drain,
    certificates: Certificates,
}

impl Front {
    async fn open(folders: &[PathBuf], timeout: Duration) -> Front {
        let certificates = Certificates::load(folders).unwrap();
        let acceptor = Acceptor::new(certificates.server_config().unwrap(), timeout);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let server = Server::new(Hello, ServerSettings::default(), drain.clone());
        tokio::spawn(async move {
            let serve = move |server: Server<Hello>, stream, peer| {
                let acceptor = acceptor.clone();
                async move { acceptor.serve(&server, stream, peer).await }
            };
            server.accept(listener, serve).await;
        });
        Front { address, drain, certificates }
    }

    /// Reads the files again.
    async fn renew(&self) {
        let watching = self.certificates.clone().watch(Duration::ZERO);
        // Once around is enough, and it never ends by itself.
        let _ = tokio::time::timeout(Duration::from_millis(100), watching).await;
    }

    async fn connect(
        &self,
        roots: &RootCertStore,
        name: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

/// Writes a new pair and adds its certificate to `roots`.
fn write(folder: &Path, names: &[&str], roots: &mut RootCertStore) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    roots.add(pair.cert.der().clone()).unwrap();
}

async fn get(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut response = vec![0; 4096];
    let count = stream.read(&mut response).await.unwrap();
    String::from_utf8_lossy(&response[..count]).into_owned()
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn each_name_is_shown_its_certificate_and_both_protocols_are_spoken() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (mut one, mut two) = (RootCertStore::empty(), RootCertStore::empty());
    write(folders[0].path(), &["one.example"], &mut one);
    write(folders[1].path(), &["two.example", "*.two.example"], &mut two);
    let paths = folders.each_ref().map(|folder| folder.path().to_owned());
    let front = Front::open(&paths, HANDSHAKE_TIMEOUT).await;
    for (roots, name) in [(&one, "one.example"), (&two, "two.example"), (&two, "a.two.example")] {
        let mut stream = front.connect(roots, name, &[b"h2", b"http/1.1"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "{name}");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut frame = [0; 4];
        stream.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "SETTINGS");
        for alpn in [&[&b"http/1.1"[..]][..], &[]] {
            let mut stream = front.connect(roots, name, alpn).await.unwrap();
            assert!(get(&mut stream).await.ends_with("hello"), "{name}");
        }
    }
    // The certificate of one name is never shown to a client of another, and none is made up.
    for (roots, name) in [(&one, "two.example"), (&two, "one.example"), (&two, "c.example")] {
        assert!(front.connect(roots, name, &[]).await.is_err(), "{name}");
    }
    let error = front.connect(&one, "one.example", &[b"spdy/3"]).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_drops_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    write(folder.path(), &["one.example"], &mut roots);
    let front = Front::open(&[folder.path().to_owned()], HANDSHAKE_TIMEOUT).await;
    let mut before = front.connect(&roots, "one.example", &[]).await.unwrap();
    assert!(get(&mut before).await.ends_with("hello"));
    write(folder.path(), &["one.example"], &mut roots);
    front.renew().await;
    let after = front.connect(&roots, "one.example", &[]).await.unwrap();
    assert_ne!(shown(&before), shown(&after));
    // What cannot be used changes nothing.
    std::fs::write(folder.path().join("tls.crt"), "junk").unwrap();
    front.renew().await;
    let later = front.connect(&roots, "one.example", &[]).await.unwrap();
    assert_eq!(shown(&after), shown(&later));
    assert!(get(&mut before).await.ends_with("hello"), "the first connection is still served");
}

async fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    // A reset is an end as well.
    let _ = read.expect("it is closed in time");
    all
}

#[tokio::test]
async fn garbage_and_half_handshakes_end_soon() {
    let folder = tempfile::tempdir().unwrap();
    let mut roots = RootCertStore::empty();
    write(folder.path(), &["one.example"], &mut roots);
    let front = Front::open(&[folder.path().to_owned()], Duration::from_millis(300)).await;
    let connect = || TcpStream::connect(front.address);
    let mut plain = connect().await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let response = String::from_utf8(read_to_end(plain).await).unwrap();
    assert!(response.contains("Client sent an HTTP request to an HTTPS server."), "{response}");
    for garbage in [
        &b"\x16"[..],
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
        b"\x16\x03\x03\x00\x02\x02\x28",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x80\x2e\x01\x03\x01",
        b"",
        &[0x16; 4096],
    ] {
        let mut stream = connect().await.unwrap();
        stream.write_all(garbage).await.unwrap();
        read_to_end(stream).await;
    }
    // A hello without end: records that promise one of 16 MiB.
    let mut endless = connect().await.unwrap();
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.resize(5 + 0x4000, 0);
    record[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    while endless.write_all(&record).await.is_ok() {
        record[5..9].fill(0);
    }
    let mut stream = front.connect(&roots, "one.example", &[]).await.unwrap();
    assert!(get(&mut stream).await.ends_with("hello"), "others are served meanwhile");
    // After its handshake a client may be silent for longer.
    tokio::time::sleep(SILENCE).await;
    assert!(get(&mut stream).await.ends_with("hello"));
    drop(stream);
    front.drain.set_phase(Phase::Closing);
    tokio::time::timeout(PATIENCE, front.drain.until_empty()).await.expect("nothing is left");
}
