//! Who may report to a controller and ask it: a secret, certificates.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_controller::{Access, Addresses};
use tidegate_trust::secret::{SECRET_FILE_VARIABLE, SECRET_VARIABLE};
use tidegate_trust::{SecretError, ServerCertificates, ServerTls, SharedSecret, TlsError};

/// The variable that names the file of a server's certificate chain.
pub const TLS_CERT_VARIABLE: &str = "TIDEGATE_TLS_CERT";

/// The variable that names the file of its key.
pub const TLS_KEY_VARIABLE: &str = "TIDEGATE_TLS_KEY";

/// What a controller requires of its reporters and clients. The secret itself is no flag: every
/// user of a machine can read the arguments of its processes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AccessArgs {
    /// The file with the secret that every reporter and client must present, at least 16
    /// characters; or set TIDEGATE_SECRET to the secret.
    #[arg(long, value_name = "FILE", env = SECRET_FILE_VARIABLE)]
    secret_file: Option<PathBuf>,
    /// The controller's certificate chain, PEM; only TLS is accepted with it.
    #[arg(long, value_name = "FILE", env = TLS_CERT_VARIABLE, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = TLS_KEY_VARIABLE, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities of the client certificates that are then required, PEM.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
}

/// Why what was typed makes no access rules.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The secret cannot be read, or is none.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate or a key cannot be read, or cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl AccessArgs {
    /// The server's certificate for another port of the same process, if there is one; clients are
    /// then asked for certificates of `client_authority`, where that is given.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in it cannot be used; the file is named.
    pub fn tls_of(&self, client_authority: Option<PathBuf>) -> Result<Option<ServerTls>, TlsError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let (certificate, key) = (certificate.clone(), key.clone());
        ServerCertificates { certificate, key, client_authority }.load().map(Some)
    }

    /// The access rules that the flags and the environment make, for instances that may claim
    /// `addresses`. Without any of them everybody is admitted: see [`Access::admits_anybody`].
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in it cannot be used; the file is named.
    pub fn access(&self, addresses: Addresses) -> Result<Access, AccessError> {
        let secret =
            SharedSecret::configured(self.secret_file.as_deref(), secret_variable().as_deref())?;
        let tls = self.tls_of(self.tls_client_ca.clone())?.map(Arc::new);
        Ok(Access { secret, tokens: None, tls, addresses })
    }
}

/// The secret in the environment, if any. A value that is not UTF-8 is an error: treating it as
/// absent would connect, or admit, without any secret.
#[must_use]
pub fn secret_variable() -> Option<String> {
    std::env::var_os(SECRET_VARIABLE).map(|text| text.to_string_lossy().into_owned())
}
