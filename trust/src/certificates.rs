//! Where the certificates of both ends of a controller's port are: files, and the variables that
//! name them.

use std::path::PathBuf;

use tidegate_knative::environment::{
    TIDEGATE_CONTROLLER_CA, TIDEGATE_CONTROLLER_CERT, TIDEGATE_CONTROLLER_KEY,
};

/// The variable that names the file of the authorities that sign controller certificates.
pub const AUTHORITY_VARIABLE: &str = TIDEGATE_CONTROLLER_CA;

/// The variable that names the file of the certificate to present to the controller.
pub const CERTIFICATE_VARIABLE: &str = TIDEGATE_CONTROLLER_CERT;

/// The variable that names the file of that certificate's key.
pub const KEY_VARIABLE: &str = TIDEGATE_CONTROLLER_KEY;

/// Files of a controller that speaks TLS.
#[derive(Debug, Clone)]
pub struct ServerCertificates {
    /// Its certificate chain, PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, PEM.
    pub key: PathBuf,
    /// Authorities that sign client certificates, PEM; `None` requires no client certificate.
    pub client_authority: Option<PathBuf>,
}

/// Files of a client of such a controller.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificates {
    /// Authorities that sign controller certificates, PEM; those of the system when `None`.
    pub authority: Option<PathBuf>,
    /// Certificate chain and key to present when the controller requires one, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}
