//! The front door: holds requests while there is no instance, and balances them.
//!
//! A request for a revision at zero wakes it and waits in a bounded line; one for a running
//! revision goes to the instance with the fewest requests in flight that has room. No instance is
//! ever sent more than its limit. Which instances there are comes from the controller over the
//! report stream; with the controller gone, the last word holds and requests flow on.
//!
//! It must never decide how many instances there should be, hold a copy of the admission rule, make
//! a request wait for the controller, or send a request again that an instance may have seen.
//!
//! Modules in reading order:
//!
//! * [`config`]: what is configured; [`server`]: the listener's life, from binding to draining.
//! * [`identity`]: which revision a request is for; [`doors`]: the revisions that are known.
//! * [`door`]: one revision's line and instances, who waits and who goes.
//! * `passing`: one request from the client to an instance; [`probe`]: questions to ourselves;
//!   [`answers`]: what we answer ourselves.
//! * [`tally`]: what became of the requests; [`metrics`]: that and more in numbers; `reports`: what
//!   the controller is told, and when.

pub mod answers;
pub mod config;
mod handler;
pub mod metrics;
pub mod probe;
mod reports;
pub mod revision_throttler;
pub mod route;
pub mod server;
pub mod tally;
pub mod throttler;

pub use config::{Config, ConfigError};
pub use revision_throttler::{RevisionThrottler, Status};

pub use tally::{Cause, Outcomes, Tally};

pub use server::{Activator, Drained, Observer, Running, Unready};
pub use tidegate_relay::http::HeaderValue;
pub use tidegate_relay::memory;
pub use tidegate_reporter::{Credentials, Endpoint, RevisionName};
