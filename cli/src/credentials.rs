//! What a command shows to a controller, as it is typed or set.

use std::path::PathBuf;

use tidegate_trust::certificates::{AUTHORITY_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE};
use tidegate_trust::credentials::{Credentials, CredentialsError};
use tidegate_trust::secret::{SECRET_FILE_VARIABLE, SECRET_VARIABLE};

/// Options of every command that speaks to a controller. The secret itself is no option: the
/// arguments of a process are everybody's to read.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CredentialArgs {
    /// The file with the secret that the controller asks for; or set TIDEGATE_SECRET to the secret.
    #[arg(long, value_name = "FILE", env = SECRET_FILE_VARIABLE)]
    secret_file: Option<PathBuf>,
    /// Who vouches for the controller's certificate, PEM; with it TLS is spoken [default, with
    /// https://: whom the system trusts].
    #[arg(long, value_name = "FILE", env = AUTHORITY_VARIABLE)]
    controller_ca: Option<PathBuf>,
    /// Certificate to show to a controller that asks for one, PEM.
    #[arg(long, value_name = "FILE", env = CERTIFICATE_VARIABLE, requires = "controller_key")]
    controller_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", env = KEY_VARIABLE, requires = "controller_cert")]
    controller_key: Option<PathBuf>,
}

impl CredentialArgs {
    /// What they come to.
    ///
    /// # Errors
    /// When the secret cannot be read or is none.
    pub(crate) fn credentials(&self) -> Result<Credentials, CredentialsError> {
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

/// The secret that is set, if any. One that is no text is no secret, and must not count as absent.
pub(crate) fn secret_variable() -> Option<String> {
    std::env::var_os(SECRET_VARIABLE).map(|text| text.to_string_lossy().into_owned())
}
