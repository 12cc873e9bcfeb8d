//! Authentication between a controller and its clients: a shared secret, and certificates.
//!
//! A client with the [`Secret`] is admitted: it may report, receive endpoints, and ask for
//! reasons. It travels as `authorization: Bearer …` on every call. Over [`tls`] no one on the path
//! can read it, and the certificate authenticates the controller.
//!
//! It must never print a secret or a key, compare a secret in a time that depends on it, or open a
//! connection.
//!
//! Modules in reading order: [`secret`] is what is shared, [`shared_secret`] where that comes from
//! and how it is replaced, [`token`] what is given out in its place, [`certificates`] names the
//! files of both ends, [`pem`] reads them, [`renewed`] reads files anew when they change,
//! [`rereads`] says when they are looked at, [`tls`] is how both ends use certificates,
//! [`handshake`] explains why two ends do not fit, [`parting`] closes the connection of such,
//! [`credentials`] is what a client presents to a controller, [`refusals`] how often a refusal is
//! logged.

pub mod certificates;
pub mod credentials;
pub mod handshake;
pub mod parting;
pub mod pem;
pub mod refusals;
pub mod renewed;
pub mod rereads;
pub mod secret;
pub mod shared_secret;
pub mod tls;
pub mod token;

pub use certificates::{ClientCertificates, ServerCertificates};
pub use credentials::{Credentials, CredentialsError};
pub use handshake::TlsMismatch;
pub use pem::TlsError;
pub use refusals::RefusalLog;
pub use renewed::Renewed;
pub use secret::{Secret, SecretError};
pub use shared_secret::SharedSecret;
pub use tls::{ClientTls, ServerTls};
pub use token::{Scope, TokenError};
