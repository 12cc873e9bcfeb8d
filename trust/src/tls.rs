//! TLS at both ends of a controller's port: which certificates are presented, which are required,
//! and which messages explain a pair that does not fit.
//!
//! The provider is ring, as for all other TLS here. No session is resumed:
//! connections are few and last, and what was true of a certificate once need not be true now.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificates::{ClientCertificates, ServerCertificates};
use crate::handshake::{self, TlsMismatch};
use crate::pem::{PemFile, TlsError, identity, system_authorities};
use crate::renewed::Renewed;

/// The one protocol that a controller's port speaks inside TLS (RFC 9113, 3.3).
const CONTROLLER_ALPN: &[&[u8]] = &[b"h2"];

/// What pages for operators speak inside TLS, best first (RFC 7301, 6).
const PAGES_ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// TLS of a controller: [`ServerCertificates`] that were read, and are read anew when they
/// change.
#[derive(Debug)]
pub struct ServerTls {
    certificates: ServerCertificates,
    config: Arc<Renewed<ServerConfig>>,
}

/// TLS of a client of a controller: [`ClientCertificates`] that were read, and are read anew
/// when they change.
#[derive(Debug)]
pub struct ClientTls {
    certificates: ClientCertificates,
    config: Arc<Renewed<ClientConfig>>,
}

impl ServerCertificates {
    /// Reads the files, for a controller's port.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in it cannot be used; the file is named.
    pub fn load(self) -> Result<ServerTls, TlsError> {
        self.load_speaking(CONTROLLER_ALPN)
    }

    /// Reads the files, for pages that operators look at.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_for_pages(self) -> Result<ServerTls, TlsError> {
        self.load_speaking(PAGES_ALPN)
    }

    fn load_speaking(self, protocols: &'static [&'static [u8]]) -> Result<ServerTls, TlsError> {
        let (certificate, key) = (self.certificate.clone(), self.key.clone());
        let config = match self.client_authority.clone() {
            None => Renewed::load([certificate, key], move |[certificate, key]| {
                server_config((certificate, key), None, protocols)
            }),
            Some(authority) => Renewed::load([certificate, key, authority], move |files| {
                let [certificate, key, authority] = files;
                server_config((certificate, key), Some(authority), protocols)
            }),
        }?;
        Ok(ServerTls { certificates: self, config: Arc::new(config) })
    }
}

impl ClientCertificates {
    /// Reads the files. Those that are not there yet, such as the authorities of a namespace that
    /// has just been made, are waited for: until then no controller is trusted.
    ///
    /// # Errors
    ///
    /// As [`ServerCertificates::load`].
    pub fn load(self) -> Result<ClientTls, TlsError> {
        let authority = self.authority.clone().unwrap_or_else(system_authorities);
        let config = match self.identity.clone() {
            None => Renewed::load_first_by(PemFile::read_if_there, [authority], |[authority]| {
                client_config(authority, None)
            }),
            Some((certificate, key)) => Renewed::load([authority, certificate, key], |files| {
                let [authority, certificate, key] = files;
                client_config(authority, Some((certificate, key)))
            }),
        }?;
        Ok(ClientTls { certificates: self, config: Arc::new(config) })
    }
}

impl ServerTls {
    /// The configuration in force, which [`Self::renewals`] replaces.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.config.current()
    }

    /// Whether a client is refused that presents no certificate.
    #[must_use]
    pub fn requires_client_certificates(&self) -> bool {
        self.certificates.client_authority.is_some()
    }

    /// What reads the files anew when they change, to be [watched](Renewed::watch).
    #[must_use]
    pub fn renewals(&self) -> Arc<Renewed<ServerConfig>> {
        Arc::clone(&self.config)
    }

    /// Why a handshake failed; `None` when the connection did.
    #[must_use]
    pub fn mismatch(&self, error: &io::Error) -> Option<TlsMismatch> {
        cause(error).map(|cause| handshake::at_server(cause, &self.certificates))
    }
}

impl ClientTls {
    /// The configuration for a new connection, of the files as they are now.
    pub async fn renewed(&self) -> Arc<ClientConfig> {
        self.config.renewed().await
    }

    /// Why a handshake failed, or what followed it; `None` when the connection did.
    #[must_use]
    pub fn mismatch(&self, error: &io::Error) -> Option<TlsMismatch> {
        cause(error).map(|cause| handshake::at_client(cause, &self.certificates))
    }
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn server_config(
    (certificate, key): (&PemFile, &PemFile),
    client_authority: Option<&PemFile>,
    protocols: &[&[u8]],
) -> Result<ServerConfig, TlsError> {
    let shown = SingleCertAndKey::from(identity(certificate, key)?);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate.refused(error))?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(file.authorities()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| file.unusable(error))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    authority: &PemFile,
    shown: Option<(&PemFile, &PemFile)>,
) -> Result<ClientConfig, TlsError> {
    let roots = match authority.is_missing() {
        true => RootCertStore::empty(),
        false => authority.authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| authority.refused(error))?
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let shown = SingleCertAndKey::from(identity(certificate, key)?);
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    };
    config.alpn_protocols = CONTROLLER_ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
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
        assert!(server("tls.crt", "tls.key", Some("tls.crt")).load().is_ok());
        for (bad, named) in [
            (server("none", "tls.key", None), "none"),
            (server("empty", "tls.key", None), "empty"),
            (server("tls.crt", "tls.crt", None), "tls.crt"),
            (server("tls.crt", "other.key", None), "other.key is not that of the certificate"),
            (server("tls.crt", "tls.key", Some("empty")), "empty"),
            (server("tls.crt", "tls.key", Some("tls.key")), "no certificate in it"),
            (server("/dev/zero", "tls.key", None), "longer than"),
        ] {
            let error = bad.load().expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
        let client = |authority: &str, key: &str| ClientCertificates {
            authority: Some(path(authority)),
            identity: Some((path("tls.crt"), path(key))),
        };
        assert!(client("tls.crt", "tls.key").load().is_ok());
        assert!(client("empty", "tls.key").load().is_err());
        assert!(client("tls.crt", "other.key").load().is_err());
    }

    #[tokio::test]
    async fn authorities_that_are_not_there_yet_are_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.crt");
        let client = ClientCertificates { authority: Some(path.clone()), identity: None };
        let tls = client.load().expect("it is waited for");
        let before = tls.renewed().await;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
        std::fs::write(&path, made.cert.pem()).expect("writable");
        let after = tls.renewed().await;
        assert!(!Arc::ptr_eq(&before, &after), "it has come");
        std::fs::remove_file(&path).expect("it is there");
        assert!(Arc::ptr_eq(&after, &tls.renewed().await), "and stays");
    }
}
