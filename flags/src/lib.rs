//! Flags that the programs of Tidegate share, each with the variable that stands for it, and how
//! what was typed is read and answered.
//!
//! Whoever runs a role in a cluster, on a machine or from `tidegate` types the same for the same:
//! where to listen, who may report, where the admin pages are, what is logged. A program flattens
//! these into its own arguments.
//!
//! It must never hold a flag of one program alone, decide anything, or be linked into the sidecar,
//! which is configured by variables and carries no parser of arguments.
//!
//! Modules in reading order: [`listen`] is where a role serves, [`access`] who may report to a
//! controller, [`credentials`] what is shown to one, [`call`] which view of several sites it
//! calls, [`admin`] where its admin pages are, [`push`] which metrics leave and where to, [`log`]
//! what is logged, [`tolerance`] is what explains a HorizontalPodAutoscaler. [`values`] reads what
//! was typed behind a flag, [`files`] what it named, [`followed`] sees whether such a file has
//! changed, and [`ending`] has the one rule of exit codes.

pub mod access;
pub mod admin;
pub mod call;
pub mod credentials;
pub mod ending;
pub mod files;
pub mod followed;
pub mod listen;
pub mod log;
pub mod push;
pub mod tolerance;
pub mod values;

pub use access::{AccessArgs, AccessError, TLS_CERT_VARIABLE, TLS_KEY_VARIABLE};
pub use admin::{AdminArgs, AdminError};
pub use call::{CALL_VARIABLE, CallArgs, CallArgsError};
pub use credentials::CredentialArgs;
pub use listen::{LISTEN_VARIABLE, listen_address};
pub use log::LogArgs;
pub use push::{Push, PushArgs, PushError};
pub use tolerance::ToleranceArgs;
