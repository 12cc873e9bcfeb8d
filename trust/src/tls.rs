//! Certificates of both ends of a controller's port, read and checked at the start.
//!
//! The provider is ring, as for everything else here that speaks TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Where most systems keep the certificates they trust; `SSL_CERT_FILE` names another place.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The one protocol that is spoken over these connections (RFC 9113, 3.3).
const ALPN: &[u8] = b"h2";

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not PEM, or has nothing of use in it.
    #[error("cannot use {path}: {message}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Key and certificate do not fit, or are of an unknown kind.
    #[error("cannot use the certificate {path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: rustls::Error,
    },
}

/// Files of a controller that speaks TLS.
#[derive(Debug, Clone)]
pub struct ServerCertificates {
    /// Its certificate chain, PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, PEM.
    pub key: PathBuf,
    /// Whose certificates clients must show, PEM; `None` asks for none.
    pub client_authority: Option<PathBuf>,
}

/// Files of somebody who speaks to such a controller.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificates {
    /// Who vouches for the controller, PEM; the system's authorities when `None`.
    pub authority: Option<PathBuf>,
    /// Certificate chain and key to show when the controller asks for one, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl ServerCertificates {
    /// Reads the files. They are read once: a controller with new certificates is started anew,
    /// which its reporters bridge.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in it cannot be used; the file is named.
    pub fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (chain, key) = identity(&self.certificate, &self.key)?;
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Certificate { path, source }
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused(&self.certificate))?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let provider = Arc::new(ring::default_provider());
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let bad = |error: rustls::server::VerifierBuilderError| pem(path, error);
                builder.with_client_cert_verifier(verifier.map_err(bad)?)
            }
        };
        let config = builder.with_single_cert(chain, key);
        let mut config = config.map_err(refused(&self.certificate))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ClientCertificates {
    /// Reads the files.
    ///
    /// # Errors
    /// As [`ServerCertificates::config`].
    pub fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let system = || std::env::var_os("SSL_CERT_FILE").unwrap_or_else(|| SYSTEM_ROOTS.into());
        let path = self.authority.clone().unwrap_or_else(|| system().into());
        let refused = |source| TlsError::Certificate { path: path.clone(), source };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_root_certificates(authorities(&path)?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, key) = identity(certificate, key)?;
                let config = builder.with_client_auth_cert(chain, key);
                let path = certificate.clone();
                config.map_err(|source| TlsError::Certificate { path, source })?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }
}

/// A certificate chain and its key, which must fit together.
fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| pem(key, error))?;
    CertifiedKey::from_der(chain.clone(), secret.clone_key(), &ring::default_provider())
        .map_err(|source| TlsError::Certificate { path: certificate.to_owned(), source })?;
    Ok((chain, secret))
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(path)?);
    if roots.is_empty() {
        return Err(pem(path, "no authority in it"));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let chain = chain.map_err(|error| pem(path, error))?;
    if chain.is_empty() {
        return Err(pem(path, "no certificate in it"));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn pem(path: &Path, message: impl std::fmt::Display) -> TlsError {
    TlsError::Pem { path: path.to_owned(), message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
        let other = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
        std::fs::write(path("tls.crt"), made.cert.pem()).expect("writable");
        std::fs::write(path("tls.key"), made.signing_key.serialize_pem()).expect("writable");
        std::fs::write(path("other.key"), other.signing_key.serialize_pem()).expect("writable");
        std::fs::write(path("empty"), "").expect("writable");
        let server = |certificate: &str, key: &str, client: Option<&str>| {
            let client_authority = client.map(path);
            ServerCertificates { certificate: path(certificate), key: path(key), client_authority }
        };
        assert!(server("tls.crt", "tls.key", Some("tls.crt")).config().is_ok());
        for (bad, named) in [
            (server("none", "tls.key", None), "none"),
            (server("empty", "tls.key", None), "empty"),
            (server("tls.crt", "tls.crt", None), "tls.crt"),
            (server("tls.crt", "other.key", None), "tls.crt"),
            (server("tls.crt", "tls.key", Some("empty")), "empty"),
        ] {
            let error = bad.config().expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
        let client = |authority: &str| ClientCertificates {
            authority: Some(path(authority)),
            identity: Some((path("tls.crt"), path("tls.key"))),
        };
        assert!(client("tls.crt").config().is_ok());
        assert!(client("empty").config().is_err());
    }
}
