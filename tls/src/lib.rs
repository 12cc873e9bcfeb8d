//! TLS between clients and the data plane: certificates by name, replaced while they are in use,
//! and handshakes that are bounded in time and memory.
//!
//! The roles in front of apps share it. It must never decide who may connect: who a client is, is
//! the app's question, so no certificate is asked of one.
//!
//! Modules in reading order: [`certificates`] are what is shown, and to whom; [`acceptor`] makes a
//! connection of [`tidegate_relay::Server`] out of a socket.
//!
//! The provider is ring: it is a third of the size of aws-lc-rs in a static binary and needs no C
//! build system beyond a compiler.

pub mod acceptor;
pub mod certificates;

pub use acceptor::{Acceptor, HANDSHAKE_TIMEOUT};
pub use certificates::{CERTIFICATES_MAX, Certificate, Certificates, CertificatesError};
