//! Certificates, each in a folder as Kubernetes mounts a TLS secret, and which of them a client is
//! shown: the first that is valid for the name that it asks for, else the first of all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tidegate_trust::{Renewed, TlsError, pem, rereads};

/// Most certificates of one listener. Each handshake looks through them, some microseconds each.
pub const CERTIFICATES_MAX: usize = 100;

/// Files of a Kubernetes TLS secret.
const FILES: [&str; 2] = ["tls.crt", "tls.key"];

/// What is spoken inside, best first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// There is none in a folder.
    #[error("{} has no certificate: expected the files tls.crt and tls.key in it", .0.display())]
    Missing(PathBuf),
    /// There are too many.
    #[error("{0} certificates are too many; expected at most {CERTIFICATES_MAX}")]
    TooMany(usize),
    /// One, or its key, is there and cannot be used.
    #[error(transparent)]
    Unusable(#[from] TlsError),
    /// The library refuses what was made of the settings.
    #[error("cannot speak TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// A certificate with its key, read anew when its files change.
#[derive(Debug)]
pub struct Certificate {
    identity: Arc<Renewed<CertifiedKey>>,
}

impl Certificate {
    /// Loads the pair in `directory`; `None` when either file is missing, as in a pod without
    /// certificates.
    ///
    /// # Errors
    ///
    /// A file is there and cannot be used.
    pub fn load(directory: &Path) -> Result<Option<Arc<Self>>, TlsError> {
        let paths = FILES.map(|file| directory.join(file));
        if !paths.iter().all(|path| path.exists()) {
            return Ok(None);
        }
        let identity = Renewed::load(paths, |[certificate, key]| pem::identity(certificate, key))?;
        Ok(Some(Arc::new(Self { identity: Arc::new(identity) })))
    }

    /// What reads the pair anew when it changes, to be [watched](Renewed::watch).
    #[must_use]
    pub fn renewals(&self) -> Arc<Renewed<CertifiedKey>> {
        Arc::clone(&self.identity)
    }

    /// Whether a client that asks for `name` would take it.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
        let shown = self.identity.current();
        let Ok(first) = shown.end_entity_cert() else { return false };
        ParsedCertificate::try_from(first)
            .is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
    }
}

/// The certificates of one listener, in the order of preference; at least one.
#[derive(Debug, Clone)]
pub struct Certificates(Vec<Arc<Certificate>>);

impl Certificates {
    /// One for every name.
    #[must_use]
    pub fn one(certificate: Arc<Certificate>) -> Self {
        Self(vec![certificate])
    }

    /// Loads those in these folders.
    ///
    /// # Errors
    ///
    /// When there is none, or one that is missing or cannot be used, or too many.
    pub fn load(directories: &[PathBuf]) -> Result<Self, CertificatesError> {
        if directories.is_empty() || directories.len() > CERTIFICATES_MAX {
            return Err(CertificatesError::TooMany(directories.len()));
        }
        let load = |directory: &PathBuf| {
            let missing = || CertificatesError::Missing(directory.clone());
            Certificate::load(directory)?.ok_or_else(missing)
        };
        let all: Result<Vec<_>, _> = directories.iter().map(load).collect();
        Ok(Self(all?))
    }

    /// Checks the files of all every `every`, and when [the process is told to](rereads), for ever.
    /// Connections that are open keep what they were shown. Must be called within a tokio runtime.
    /// Cancel safe.
    pub async fn watch(self, every: Duration) {
        loop {
            rereads::due(every).await;
            for certificate in &self.0 {
                certificate.renewals().renewed().await;
            }
        }
    }

    /// The configuration of a listener that shows them, with the library's own choice of versions
    /// and suites.
    ///
    /// # Errors
    ///
    /// When the library refuses it.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, CertificatesError> {
        let versions = rustls::DEFAULT_VERSIONS;
        Ok(self.server_config_with(ring::default_provider(), versions)?)
    }

    /// The configuration of a listener that shows them, with these suites and versions.
    ///
    /// # Errors
    ///
    /// When the library refuses them.
    pub fn server_config_with(
        &self,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }

    /// The one for a client that asks for this name. Without a name, as from a client that has
    /// only an address, and for a name that none is for, it is the first: the client then decides
    /// whether it trusts that.
    fn choose(&self, name: Option<&str>) -> Option<&Certificate> {
        let first = self.0.first()?;
        // With one there is nothing to choose, and no name to compare.
        let (Some(name), 2..) = (name, self.0.len()) else { return Some(first) };
        let Ok(name) = ServerName::try_from(name) else { return Some(first) };
        Some(self.0.iter().find(|certificate| certificate.is_for(&name)).unwrap_or(first))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name()).map(|certificate| certificate.identity.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let pair = rcgen::generate_simple_self_signed(names).expect("made");
        std::fs::write(directory.join("tls.crt"), pair.cert.pem()).expect("writable");
        std::fs::write(directory.join("tls.key"), pair.signing_key.serialize_pem())
            .expect("writable");
    }

    #[test]
    fn the_first_that_is_valid_for_the_name_is_shown() {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a folder")).collect();
        write(folders[0].path(), &["one.example"]);
        write(folders[1].path(), &["two.example", "*.two.example"]);
        write(folders[2].path(), &["three.example", "two.example"]);
        let paths: Vec<_> = folders.iter().map(|folder| folder.path().to_owned()).collect();
        let all = Certificates::load(&paths).expect("they can be used");
        let chosen = |name: Option<&str>| {
            let chosen = all.choose(name).expect("there is always one");
            all.0.iter().position(|one| std::ptr::eq(&**one, chosen)).expect("it is one of them")
        };
        for (name, expected) in [
            (Some("one.example"), 0),
            (Some("two.example"), 1),
            (Some("TWO.example"), 1),
            (Some("a.two.example"), 1),
            (Some("three.example"), 2),
            // None is for these.
            (Some("a.b.two.example"), 0),
            (Some("other.example"), 0),
            (Some("127.0.0.1"), 0),
            (Some("not a name"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            assert_eq!(chosen(name), expected, "{name:?}");
        }
        // What is in force now decides, and not what was there at the start.
        write(folders[0].path(), &["other.example", "three.example"]);
        all.0[0].renewals().renew();
        assert_eq!(chosen(Some("three.example")), 0);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let load = || Certificates::load(&[folder.path().to_owned()]);
        let missing = load().expect_err("it is empty").to_string();
        assert!(missing.contains("tls.crt and tls.key"), "{missing}");
        write(folder.path(), &["a.example"]);
        load().expect("it can be used").server_config().expect("and served");
        std::fs::write(folder.path().join("tls.key"), "junk").expect("writable");
        assert!(load().expect_err("no key").to_string().contains("tls.key"));
        assert!(matches!(Certificates::load(&[]), Err(CertificatesError::TooMany(0))));
        let many = vec![folder.path().to_owned(); CERTIFICATES_MAX + 1];
        assert!(matches!(Certificates::load(&many), Err(CertificatesError::TooMany(101))));
    }
}
