//! How a controller and those who speak to it know each other: a shared secret, and certificates.
//!
//! Whoever holds the [`Secret`] may take part: report, be told where instances are, ask for
//! reasons. It travels as `authorization: Bearer …` on every call. Over [`tls`] nobody on the way
//! can read it, and the controller's certificate shows who is being told.
//!
//! It must never print a secret or a key, compare a secret in a time that depends on it, or open a
//! connection.
//!
//! Modules in reading order: [`secret`] is what is shared, [`certificates`] names the files of both
//! ends, [`pem`] reads them, [`renewed`] reads them anew when they change, [`tls`] is how both ends
//! use them, [`handshake`] says in words why two ends do not fit, [`credentials`] is what somebody
//! shows who speaks to a controller.

pub mod certificates;
pub mod credentials;
pub mod handshake;
pub mod pem;
pub mod renewed;
pub mod secret;
pub mod tls;

pub use certificates::{ClientCertificates, ServerCertificates};
pub use credentials::{Credentials, CredentialsError};
pub use handshake::TlsMismatch;
pub use pem::TlsError;
pub use renewed::Renewed;
pub use secret::{Secret, SecretError};
pub use tls::{ClientTls, ServerTls};
