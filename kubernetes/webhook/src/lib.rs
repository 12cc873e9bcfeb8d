//! Injection of the sidecar as a mutating admission webhook: `POST /inject` over TLS.
//!
//! It must never prevent a pod from being created, decide what is injected (that is
//! `tidegate-kubernetes-inject`'s), or hold a client of a cluster: whoever writes the authorities
//! into the `MutatingWebhookConfiguration` reads them from [`Keeper::bundle`], or from the file
//! beside the kept certificates.
//!
//! Modules in reading order: [`keeper`] keeps certificates of its own in a folder,
//! [`mounted`] reads those that something else keeps, [`server`] responds.

pub mod keeper;
pub mod mounted;
pub mod server;

pub use keeper::{Keeper, KeeperError};
pub use mounted::MountedCertificate;
pub use server::serve;
