//! Injection of the sidecar as a mutating admission webhook: `POST /inject` over TLS.
//!
//! It must never keep a pod from being made, decide what is injected (that is
//! `tidegate-kubernetes-inject`'s), or hold a client of a cluster: who writes the authorities into
//! the `MutatingWebhookConfiguration` reads them from [`Keeper::bundle`], or from the file that
//! stands beside the kept certificates.
//!
//! Modules in reading order: [`certificates`] says when an authority and a certificate are made,
//! [`keeper`] keeps them in a folder and hands them out, [`server`] answers.

pub mod certificates;
pub mod keeper;
pub mod server;

pub use keeper::{Keeper, KeeperError};
pub use server::serve;
