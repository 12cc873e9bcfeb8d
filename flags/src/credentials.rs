//! A command's credentials towards a controller, from flags or the environment.

use std::path::PathBuf;

use tidegate_trust::certificates::{AUTHORITY_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE};
use tidegate_trust::credentials::{Credentials, CredentialsError};
use tidegate_trust::secret::{SECRET_FILE_VARIABLE, SECRET_VARIABLE};

use crate::access::secret_variable;

/// Options of every command that connects to a controller. The secret itself is no option: every
/// user of a machine can read the arguments of its processes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CredentialArgs {
    /// The file with the secret that the controller requires; or set TIDEGATE_SECRET to the secret.
    #[arg(long, value_name = "FILE", env = SECRET_FILE_VARIABLE)]
    secret_file: Option<PathBuf>,
    /// Authorities that sign the controller's certificate, PEM; switches TLS on [default, with
    /// https://: those of the system].
    #[arg(long, value_name = "FILE", env = AUTHORITY_VARIABLE)]
    controller_ca: Option<PathBuf>,
    /// Client certificate for a controller that requires one, PEM.
    #[arg(long, value_name = "FILE", env = CERTIFICATE_VARIABLE, requires = "controller_key")]
    controller_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", env = KEY_VARIABLE, requires = "controller_cert")]
    controller_key: Option<PathBuf>,
}

impl CredentialArgs {
    /// The credentials that these options make.
    ///
    /// # Errors
    ///
    /// When the secret cannot be read, or is not a valid one.
    pub fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let text =
            |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        Credentials::configured(|key| match key {
            SECRET_FILE_VARIABLE => text(&self.secret_file),
            AUTHORITY_VARIABLE => text(&self.controller_ca),
            CERTIFICATE_VARIABLE => text(&self.controller_cert),
            KEY_VARIABLE => text(&self.controller_key),
            SECRET_VARIABLE => secret_variable(),
            _ => None,
        })
    }
}
