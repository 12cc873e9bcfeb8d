//! Admin pages inside TLS, over real sockets: who is let in, and certificates that are replaced.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tidegate_admin::{Admin, Listening, Readiness, Subject};
use tidegate_telemetry::Family;
use tidegate_trust::ServerCertificates;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Longer than anything here takes, shorter than a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two looks at what is waited for.
const POLL_PERIOD: Duration = Duration::from_millis(100);

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: admin.example\r\nConnection: close\r\n\r\n";

struct Role;

impl Subject for Role {
    async fn gather(&self) -> Vec<Family> {
        Vec::new()
    }

    async fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}

/// Somebody who vouches for others, and the folder for what it signs.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// A certificate and its key, in `NAME.crt` and `NAME.key`.
    fn sign(&self, name: &str, host: &str) -> [PathBuf; 2] {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.extended_key_usages = usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = [self.path(&format!("{name}.crt")), self.path(&format!("{name}.key"))];
        std::fs::write(&paths[0], certificate.pem()).unwrap();
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        paths
    }

    /// Serves with a certificate of ours, and asks clients for one of ours where that is said.
    async fn serve(&self, clients: Option<PathBuf>) -> (Admin, SocketAddr) {
        let [certificate, key] = self.sign("server", "admin.example");
        let certificates = ServerCertificates { certificate, key, client_authority: clients };
        let tls = Arc::new(certificates.load_for_pages().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = Admin::serve(Listening::over_tls(listener, tls), Role).unwrap();
        let address = admin.address();
        (admin, address)
    }

    /// What a client gets that trusts us, asks for `host`, and shows what it is given.
    async fn ask(
        &self,
        address: SocketAddr,
        host: &str,
        shown: Option<&[PathBuf; 2]>,
    ) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some([certificate, key]) => {
                builder.with_client_auth_cert(vec![read(certificate)], key_of(key)).unwrap()
            }
        };
        let asking = async {
            let stream = TcpStream::connect(address).await?;
            let host = ServerName::try_from(host.to_owned()).unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await?;
            stream.write_all(ASK).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap()
    }
}

fn read(certificate: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(certificate).unwrap()
}

fn key_of(file: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(file).unwrap()
}

#[tokio::test]
async fn pages_are_shown_inside_tls_and_nowhere_else() {
    let ours = Authority::new();
    let (_admin, address) = ours.serve(None).await;
    let answer = ours.ask(address, "admin.example", None).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(ours.ask(address, "other.example", None).await.is_err(), "another name");
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(ASK).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 400 "), "{answer}");
}

#[tokio::test]
async fn where_certificates_are_asked_for_a_stranger_is_shown_nothing() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (_admin, address) = ours.serve(Some(ours.path("ca.crt"))).await;
    let known = ours.sign("scraper", "scraper.example");
    let answer = ours.ask(address, "admin.example", Some(&known)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let stranger = others.sign("stranger", "scraper.example");
    for shown in [None, Some(&stranger)] {
        let answer = ours.ask(address, "admin.example", shown).await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.is_empty()));
    }
}

#[tokio::test]
async fn a_certificate_that_was_renewed_is_shown_without_a_restart() {
    let ours = Authority::new();
    let (_admin, address) = ours.serve(None).await;
    ours.sign("server", "renewed.example");
    let renewed = async {
        while ours.ask(address, "renewed.example", None).await.is_err() {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    // What cannot be used changes nothing.
    std::fs::write(ours.path("server.key"), "no key").unwrap();
    assert!(ours.ask(address, "renewed.example", None).await.is_ok());
}
