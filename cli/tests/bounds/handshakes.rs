//! Clients that begin a connection and never finish it: with TLS, and behind a load balancer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::attacks::{self, Kept};

/// A certificate in a folder, and those who trust it.
pub(crate) fn certificate(folder: &Path) -> Arc<ClientConfig> {
    let pair = rcgen::generate_simple_self_signed(vec!["front.example".to_owned()]).unwrap();
    std::fs::write(folder.join("tls.key"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), pair.cert.pem()).unwrap();
    trusting(pair.cert.der())
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn begin(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("front.example").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

/// What a client says first.
pub(crate) fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut bytes = Vec::new();
    begin(config).write_tls(&mut bytes).unwrap();
    bytes
}

/// A record of a handshake that announces as much as one may hold, all but its last byte.
pub(crate) fn long_record() -> Vec<u8> {
    const LENGTH: u16 = 16_000;
    let [high, low] = LENGTH.to_be_bytes();
    let mut record = vec![22, 3, 1, high, low, 1, 0, 0xFF, 0xF0];
    record.resize(usize::from(LENGTH) + 4, 0);
    record
}

/// Whether a whole handshake leads to a response.
pub(crate) fn is_served_over_tls(port: u16, config: &Arc<ClientConfig>, host: &str) -> bool {
    let mut stream = StreamOwned::new(begin(config), attacks::connect(port));
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    if stream.write_all(request.as_bytes()).is_err() {
        return false;
    }
    // A close without a farewell of TLS is an error behind a whole response.
    let _ = stream.read_to_end(&mut response);
    response.starts_with(b"HTTP/1.1 200")
}

/// Connections from another address of this machine.
pub(crate) fn from(source: Ipv4Addr, port: u16, connections: usize, bytes: &[u8]) -> Kept {
    attacks::on_all((0..connections).map(|_| connect_from(source, port)).collect(), bytes)
}

pub(crate) fn connect_from(source: Ipv4Addr, port: u16) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddrV4::new(source, 0)).unwrap();
    connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap();
    TcpStream::from(socket)
}

/// Beginnings of a header of the PROXY protocol that have no end, and ones that lie.
pub(crate) fn proxy_headers() -> Vec<(&'static str, Vec<u8>)> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let header = |command: u8, family: u8, length: u16, rest: &[u8]| {
        [&signature[..], &[command, family], &length.to_be_bytes(), rest].concat()
    };
    let addresses = [1, 2, 3, 4, 127, 0, 0, 1, 0, 80, 0, 80];
    let request = b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n";
    let behind = |bytes: Vec<u8>| [bytes, request.to_vec()].concat();
    vec![
        ("nothing", Vec::new()),
        ("half a signature", signature[..6].to_vec()),
        ("a head and no addresses", header(0x21, 0x11, 12, &[])),
        ("all but the last byte of the longest", header(0x21, 0x11, 4_096, &[0; 4_095])),
        ("more than is read", behind(header(0x21, 0x11, u16::MAX, &addresses))),
        ("a length too short for its addresses", behind(header(0x21, 0x11, 4, &addresses[..4]))),
        ("an unknown version", behind(header(0x31, 0x11, 12, &addresses))),
        ("an unknown family", behind(header(0x21, 0x77, 12, &addresses))),
        (
            "a field that is longer than the header",
            behind(header(0x21, 0x11, 16, &[&addresses[..], &[1, 0xFF, 0xFF, 0]].concat())),
        ),
        ("version 1", behind(b"PROXY TCP4 1.2.3.4 127.0.0.1 80 80\r\n".to_vec())),
        ("no header", request.to_vec()),
    ]
}
