//! Who may ask an extension of the API server: the API server itself, by its certificate as a
//! proxy.
//!
//! It has authenticated and authorized whoever asked it, so nobody else is let in, and nothing is
//! checked a second time. Whose certificate that is, each API server says in a ConfigMap.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The ConfigMap in which API servers say who they are, in the namespace `kube-system`.
pub const CONFIG_MAP: &str = "extension-apiserver-authentication";

/// Its key with the authorities of the certificate, PEM.
const AUTHORITIES_KEY: &str = "requestheader-client-ca-file";

/// Its key with the common names that the certificate may have, as a JSON list; any where it is
/// empty.
const NAMES_KEY: &str = "requestheader-allowed-names";

/// The protocol that the API server speaks to extensions that offer no other.
const ALPN: &[u8] = b"http/1.1";

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum FrontProxyError {
    /// The cluster has no aggregation layer.
    #[error(
        "the ConfigMap kube-system/{CONFIG_MAP} has no {AUTHORITIES_KEY}: the API server runs \
         without --requestheader-client-ca-file, and cannot be extended"
    )]
    NoAuthority,
    /// The names cannot be read.
    #[error("{NAMES_KEY} of the ConfigMap kube-system/{CONFIG_MAP} is no list of names: {0}")]
    Names(serde_json::Error),
    /// A certificate or a key cannot be used.
    #[error("cannot use {what}: {why}")]
    Unusable {
        /// Which.
        what: &'static str,
        /// Why not.
        why: String,
    },
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontProxy {
    authorities: String,
    names: Vec<String>,
}

impl FrontProxy {
    /// What the ConfigMap says, whose values `value` gives by their keys.
    ///
    /// # Errors
    /// It says too little.
    pub fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Result<Self, FrontProxyError> {
        let authorities = value(AUTHORITIES_KEY).filter(|pem| !pem.trim().is_empty());
        let names = match value(NAMES_KEY) {
            None | Some("") => Vec::new(),
            Some(list) => serde_json::from_str(list).map_err(FrontProxyError::Names)?,
        };
        let authorities = authorities.ok_or(FrontProxyError::NoAuthority)?.to_owned();
        Ok(Self { authorities, names })
    }

    /// TLS of a server that shows `certificate`, and lets in only certificates of the authorities.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub fn server_config(
        &self,
        certificate: &str,
        key: &str,
    ) -> Result<Arc<ServerConfig>, FrontProxyError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(self.authorities.as_bytes()) {
            let authority = authority.map_err(|error| unusable(AUTHORITIES_KEY, error))?;
            roots.add(authority).map_err(|error| unusable(AUTHORITIES_KEY, error))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unusable(AUTHORITIES_KEY, error))?;
        let shown: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
        let shown = shown.map_err(|error| unusable("the server's certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| unusable("the server's key", error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable("TLS", error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(shown, key)
            .map_err(|error| unusable("the server's certificate", error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Arc::new(config))
    }

    /// Whether a certificate, which an authority has signed, is one of the names.
    #[must_use]
    pub fn admits(&self, certificate: &CertificateDer<'_>) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let mut names = certificate.subject().iter_common_name();
        names.any(|name| name.as_str().is_ok_and(|name| self.names.iter().any(|n| n == name)))
    }
}

fn unusable(what: &'static str, error: impl std::fmt::Display) -> FrontProxyError {
    FrontProxyError::Unusable { what, why: error.to_string() }
}
