//! What the sidecar's TLS variables say of its listener, which `tidegate-tls` serves; and the
//! client side of HTTPS probes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{
    CipherSuite, ClientConfig, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    version,
};
use tidegate_tls::Certificates;
use tidegate_trust::pem;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::environment::keys;

mod unverified;

pub use tidegate_tls::Certificate;

/// The paths of the certificate and the TLS variables; read when a certificate is there.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Directory of `tls.crt` and `tls.key`.
    pub directory: PathBuf,
    /// Time between two checks of them.
    pub poll: Duration,
    /// Value of [`keys::QUEUE_PROXY_TLS_MIN_VERSION`].
    pub min_version: Option<String>,
    /// Value of [`keys::QUEUE_PROXY_TLS_MAX_VERSION`].
    pub max_version: Option<String>,
    /// Value of [`keys::QUEUE_PROXY_TLS_CIPHER_SUITES`].
    pub cipher_suites: Option<String>,
    /// Value of [`keys::QUEUE_PROXY_TLS_CURVE_PREFERENCES`].
    pub curve_preferences: Option<String>,
}

/// Why TLS cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate, or its key, is there and cannot be used.
    #[error(transparent)]
    Certificate(#[from] pem::TlsError),
    /// The library refuses what was made of the variables.
    #[error("cannot speak TLS: {0}")]
    Config(#[from] rustls::Error),
    /// A TLS variable has a value that is not supported.
    #[error("{key}: unsupported '{value}', expected {expected}")]
    Setting {
        /// The variable.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
}

/// The configuration of the main listener: `h2` and `http/1.1`, TLS 1.3 unless the variables say
/// otherwise.
///
/// # Errors
///
/// A variable has a value that is not supported.
pub fn server_config(
    settings: &TlsSettings,
    certificate: Arc<Certificate>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut provider = ring::default_provider();
    if let Some(list) = &settings.cipher_suites {
        provider.cipher_suites = cipher_suites(list, &provider)?;
    }
    if let Some(list) = &settings.curve_preferences {
        provider.kx_groups = key_exchanges(list)?;
    }
    let versions = versions(settings)?;
    Ok(Certificates::one(certificate).server_config_with(provider, &versions)?)
}

fn versions(settings: &TlsSettings) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let number = |key: &'static str, value: &Option<String>, default: u8| match value.as_deref() {
        None => Ok(default),
        Some("1.2") => Ok(2),
        Some("1.3") => Ok(3),
        Some(other) => Err(TlsError::Setting {
            key,
            value: other.to_owned(),
            expected: "1.2 or 1.3".to_owned(),
        }),
    };
    let least = number(keys::QUEUE_PROXY_TLS_MIN_VERSION, &settings.min_version, 3)?;
    let most = number(keys::QUEUE_PROXY_TLS_MAX_VERSION, &settings.max_version, 3)?;
    if least > most {
        return Err(TlsError::Setting {
            key: keys::QUEUE_PROXY_TLS_MAX_VERSION,
            value: format!("1.{most}"),
            expected: format!("at least the minimum, 1.{least}"),
        });
    }
    let all = [(2, &version::TLS12), (3, &version::TLS13)];
    Ok(all.into_iter().filter(|(n, _)| (least..=most).contains(n)).map(|(_, v)| v).collect())
}

fn cipher_suites(
    list: &str,
    provider: &CryptoProvider,
) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let name = |suite: &SupportedCipherSuite| go_name(suite.suite());
    list.split(',')
        .map(str::trim)
        .map(|wanted| {
            let found = provider.cipher_suites.iter().find(|suite| name(suite) == wanted);
            found.copied().ok_or_else(|| TlsError::Setting {
                key: keys::QUEUE_PROXY_TLS_CIPHER_SUITES,
                value: wanted.to_owned(),
                expected: provider.cipher_suites.iter().map(name).collect::<Vec<_>>().join(", "),
            })
        })
        .collect()
}

/// The name by which Go knows a suite, which is IANA's.
fn go_name(suite: CipherSuite) -> String {
    // `TLS13_AES_128_GCM_SHA256` is called `TLS_AES_128_GCM_SHA256` everywhere else.
    suite.as_str().unwrap_or("").replacen("TLS13_", "TLS_", 1)
}

fn key_exchanges(list: &str) -> Result<Vec<&'static dyn SupportedKxGroup>, TlsError> {
    list.split(',')
        .map(str::trim)
        .map(|wanted| match wanted {
            "X25519" => Ok(ring::kx_group::X25519),
            "CurveP256" | "P-256" => Ok(ring::kx_group::SECP256R1),
            "CurveP384" | "P-384" => Ok(ring::kx_group::SECP384R1),
            other => Err(TlsError::Setting {
                key: keys::QUEUE_PROXY_TLS_CURVE_PREFERENCES,
                value: other.to_owned(),
                expected: "X25519, P-256 or P-384".to_owned(),
            }),
        })
        .collect()
}

/// A TLS connection without verification of the peer, as the kubelet makes for its probes.
///
/// # Errors
///
/// The handshake fails.
pub async fn connect_unverified(
    stream: TcpStream,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    unverified::connect(stream, host).await
}

/// TLS towards peers whose certificates the system trusts, with whom `alpn` is spoken.
///
/// # Errors
///
/// There are no roots.
pub fn of_system(alpn: &[u8]) -> std::io::Result<Arc<ClientConfig>> {
    let roots = pem::PemFile::read(&pem::system_authorities()).and_then(|file| file.authorities());
    let roots = roots.map_err(std::io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
