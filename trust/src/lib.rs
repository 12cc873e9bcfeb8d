//! Authentication between a controller and its clients: a shared secret, and certificates.
//!
//! A client with the [`Secret`] is admitted: it may report, receive endpoints, and ask for
//! reasons. It travels as `authorization: Bearer …` on every call. Over [`tls`] no one on the path
//! can read it, and the certificate authenticates the controller.
//!
//! It must never print a secret or a key, compare a secret in a time that depends on it, or open a
//! connection.
//!
//! Modules in reading order: [`secret`] is what is shared, [`certificates`] names the files of both
//! ends, [`pem`] reads them, [`renewed`] reads them anew when they change, [`tls`] is how both ends
//! use them, [`handshake`] explains why two ends do not fit, [`credentials`] is what a client
//! presents to a controller.

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
