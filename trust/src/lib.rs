//! How a controller and those who speak to it know each other: a shared secret, and certificates.
//!
//! Whoever holds the [`Secret`] may take part: report, be told where instances are, ask for
//! reasons. It travels as `authorization: Bearer …` on every call. Over [`tls`] nobody on the way
//! can read it, and the controller's certificate shows who is being told.
//!
//! It must never print a secret, compare one in a time that depends on it, or open a connection.
//!
//! Modules in reading order: [`secret`] is what is shared, [`tls`] reads the certificates of both
//! ends, [`credentials`] is what somebody shows who speaks to a controller.

pub mod credentials;
pub mod secret;
pub mod tls;

pub use credentials::{Credentials, CredentialsError};
pub use secret::{Secret, SecretError};
pub use tls::{ClientCertificates, ServerCertificates, TlsError};
