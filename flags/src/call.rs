//! Which view of several sites a controller calls, where it can call out and not be reached.

use std::path::PathBuf;

use tidegate_call::{Caller, SiteName};
use tidegate_trust::{ClientCertificates, SecretError, SharedSecret};

/// The variable that says which view is called.
pub const CALL_VARIABLE: &str = "TIDEGATE_CALL";

/// A view to call, and as whom.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CallArgs {
    /// Call the view of several sites that takes calls here, and answer its questions over the
    /// connection: for a site that can call out and not be reached. Over TLS with https:// or
    /// --call-ca.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = CALL_VARIABLE,
        requires_all = ["call_as", "call_secret_file"],
        hide_short_help = true
    )]
    call: Option<String>,
    /// The name of this site, as the view's file of sites has it.
    #[arg(long, value_name = "SITE", env = "TIDEGATE_CALL_AS", hide_short_help = true)]
    call_as: Option<SiteName>,
    /// The file with the secret that proves to the view that this is the site.
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CALL_SECRET_FILE", hide_short_help = true)]
    call_secret_file: Option<PathBuf>,
    /// Authorities that sign the view's certificate, PEM; switches TLS on [default, with https://:
    /// those of the system].
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CALL_CA", hide_short_help = true)]
    call_ca: Option<PathBuf>,
    /// Client certificate for a view that requires one, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDEGATE_CALL_CERT",
        hide_short_help = true,
        requires = "call_key"
    )]
    call_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "TIDEGATE_CALL_KEY",
        hide_short_help = true,
        requires = "call_cert"
    )]
    call_key: Option<PathBuf>,
}

/// Why what was typed makes no call.
#[derive(Debug, thiserror::Error)]
pub enum CallArgsError {
    /// The secret cannot be used.
    #[error("--call-secret-file: {0}")]
    Secret(#[from] SecretError),
    /// The address or a certificate cannot be used.
    #[error("--call: {0}")]
    Call(Box<dyn std::error::Error + Send + Sync>),
}

impl CallArgs {
    /// Who calls, if anybody is to be called.
    ///
    /// # Errors
    ///
    /// When the address, the secret or a certificate cannot be used.
    pub fn caller(&self) -> Result<Option<Caller>, CallArgsError> {
        let (Some(view), Some(site), Some(secret)) =
            (&self.call, &self.call_as, &self.call_secret_file)
        else {
            return Ok(None);
        };
        let secret = SharedSecret::read(secret)?;
        let identity = self.call_cert.clone().zip(self.call_key.clone());
        let certificates = (self.call_ca.is_some() || identity.is_some())
            .then(|| ClientCertificates { authority: self.call_ca.clone(), identity });
        let caller = Caller::new(view, site.clone(), secret, certificates)
            .map_err(|error| CallArgsError::Call(error.into()))?;
        Ok(Some(caller))
    }
}
