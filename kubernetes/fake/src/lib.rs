//! An API server for tests: the part of one that Tidegate uses, compared with a real one's
//! responses.
//!
//! It stores objects with their versions and serves list, watch, create, replace, merge patch, JSON
//! patch, server-side apply, `/scale`, `/status` and delete; tests can inject failures, cut
//! watches, hold back their events, and compact the history. It does not validate, admit, or run
//! anything: a Deployment's pods are those that a test creates. One function handles all requests,
//! whether they arrive over loopback or from a client in this process.
//!
//! It must never respond in a way that no API server was seen to: `tests/exchanges.rs` sends it the
//! requests that were recorded from a real one, and compares.
//!
//! Modules in reading order: [`kinds`] is what it serves, `path` parses a request, `store` has
//! objects and their history, `change` patches, `scale` a subresource, `reply` the bodies of
//! refusals, `stream` watches, [`faults`] injected failures, [`server`] combines them, [`right`] is
//! what a role must grant for a request.

mod change;
pub mod faults;
pub mod kinds;
mod path;
mod reply;
pub mod right;
mod scale;
pub mod server;
mod store;
mod stream;

pub use faults::Fault;
pub use kinds::Kind;
pub use right::Right;
pub use server::{FakeCluster, Origin, Seen};
