//! Where the certificates of both ends of a controller's port are: files, and the variables that
//! name them.

use std::path::PathBuf;

/// The variable that names the file of those who vouch for the controller.
pub const AUTHORITY_VARIABLE: &str = "TIDEGATE_CONTROLLER_CA";

/// The variable that names the file of the certificate to show to the controller.
pub const CERTIFICATE_VARIABLE: &str = "TIDEGATE_CONTROLLER_CERT";

/// The variable that names the file of that certificate's key.
pub const KEY_VARIABLE: &str = "TIDEGATE_CONTROLLER_KEY";

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
