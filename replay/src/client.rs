//! Connections to whoever requests are sent to: kept alive, over TLS or without, in either version.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pool, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Who a server over TLS must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Nobody: for requests without TLS, which need no authorities.
    Nobody,
    /// Somebody whom the system's authorities vouch for.
    SystemRoots,
    /// Somebody whom an authority in these PEM certificates vouches for.
    Roots(Vec<u8>),
}

/// Which version of HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.1, and over TLS what the server prefers.
    #[default]
    Preferred,
    /// HTTP/2 from the first byte, as gRPC does without TLS.
    Http2,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system's authorities cannot be read.
    #[error("cannot read the system's certificates: {0}")]
    SystemRoots(std::io::Error),
    /// No certificates.
    #[error("expected certificates in PEM, found {0}")]
    Certificates(String),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Sends requests over connections that it keeps.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    ///
    /// [`ClientError`], when nothing could be verified.
    pub fn new(security: &Security, version: Version) -> Result<Self, ClientError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = HttpsConnectorBuilder::new();
        let builder = match security {
            Security::SystemRoots => builder
                .with_provider_and_native_roots(provider)
                .map_err(ClientError::SystemRoots)?,
            Security::Nobody => {
                builder.with_tls_config(trusting(RootCertStore::empty(), provider)?)
            }
            Security::Roots(pem) => builder.with_tls_config(trusting(roots(pem)?, provider)?),
        };
        let builder = builder.https_or_http();
        let https = match version {
            Version::Preferred => builder.enable_all_versions().wrap_connector(connector),
            Version::Http2 => builder.enable_http2().wrap_connector(connector),
        };
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new()).http2_only(version == Version::Http2);
        Ok(Self { pool: pool.build(https) })
    }

    pub(crate) async fn request(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<hyper::body::Incoming>, Error> {
        self.pool.request(request).await
    }
}

fn trusting(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots(pem: &[u8]) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|wrong| ClientError::Certificates(wrong.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(ClientError::Certificates("none".to_owned()));
    }
    Ok(roots)
}
