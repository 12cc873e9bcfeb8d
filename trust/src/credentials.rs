//! What a client presents to a controller, and where it is configured.

use std::path::PathBuf;

use crate::certificates::{
    AUTHORITY_VARIABLE, CERTIFICATE_VARIABLE, ClientCertificates, KEY_VARIABLE,
};
use crate::secret::{SECRET_FILE_VARIABLE, SECRET_VARIABLE, SecretError};
use crate::shared_secret::SharedSecret;

/// Every variable that configures credentials. None may reach a process that is not Tidegate's.
pub const VARIABLES: [&str; 5] =
    [SECRET_VARIABLE, SECRET_FILE_VARIABLE, AUTHORITY_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE];

/// What is presented to a controller: by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The shared secret.
    pub secret: Option<SharedSecret>,
    /// Certificates; with `None`, TLS is used only for an address that begins with `https://`.
    pub certificates: Option<ClientCertificates>,
}

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The secret cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A certificate is of no use without its key, nor a key without its certificate.
    #[error("{given} is set and {missing} is not: expected both or none")]
    HalfIdentity {
        /// The variable that is set.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
}

impl Credentials {
    /// Reads the variables, `variable` giving their values; an empty one is absent.
    ///
    /// # Errors
    ///
    /// When the secret cannot be read or used, or half an identity is given.
    pub fn configured(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialsError> {
        let value = |key| variable(key).filter(|value| !value.is_empty());
        let path = |key| value(key).map(PathBuf::from);
        let file = path(SECRET_FILE_VARIABLE);
        let secret = SharedSecret::configured(file.as_deref(), value(SECRET_VARIABLE).as_deref())?;
        let identity = match (path(CERTIFICATE_VARIABLE), path(KEY_VARIABLE)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(half(CERTIFICATE_VARIABLE, KEY_VARIABLE)),
            (None, Some(_)) => return Err(half(KEY_VARIABLE, CERTIFICATE_VARIABLE)),
        };
        let authority = path(AUTHORITY_VARIABLE);
        let certificates = (authority.is_some() || identity.is_some())
            .then_some(ClientCertificates { authority, identity });
        Ok(Self { secret, certificates })
    }
}

fn half(given: &'static str, missing: &'static str) -> CredentialsError {
    CredentialsError::HalfIdentity { given, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(set: &[(&str, &str)]) -> Result<Credentials, CredentialsError> {
        let find = |key: &str| set.iter().find(|(name, _)| *name == key);
        Credentials::configured(|key| find(key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_is_presented_unless_configured() {
        let none = configured(&[(SECRET_VARIABLE, ""), (AUTHORITY_VARIABLE, "")]).expect("valid");
        assert!(none.secret.is_none() && none.certificates.is_none());
        let some =
            configured(&[(SECRET_VARIABLE, "0123456789abcdef"), (AUTHORITY_VARIABLE, "/ca")]);
        let some = some.expect("valid");
        assert!(some.secret.is_some());
        assert_eq!(some.certificates.and_then(|c| c.authority), Some("/ca".into()));
    }

    #[test]
    fn half_an_identity_is_none() {
        for (given, missing) in
            [(CERTIFICATE_VARIABLE, KEY_VARIABLE), (KEY_VARIABLE, CERTIFICATE_VARIABLE)]
        {
            let error = configured(&[(given, "/file")]).expect_err(given).to_string();
            assert!(error.contains(given) && error.contains(missing), "{error}");
        }
        assert!(configured(&[(CERTIFICATE_VARIABLE, "/a"), (KEY_VARIABLE, "/b")]).is_ok());
    }
}
