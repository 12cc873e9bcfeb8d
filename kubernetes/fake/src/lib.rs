//! An API server for tests: as much of one as Tidegate asks for, held to what a real one answered.
//!
//! It keeps objects, gives them versions, and answers list, watch, create, replace, merge patch,
//! JSON patch, server-side apply, `/scale`, `/status` and delete; it can be told to fail, to cut
//! watches, to hold their events back, and to forget the past. It does not validate, admit, or run
//! anything: a Deployment's pods are what a test says they are. One function answers all requests,
//! whether they come over loopback or from a client in this process.
//!
//! It must never answer in a way that no API server was seen to: `tests/exchanges.rs` sends it the
//! requests that were recorded from a real one, and compares.
//!
//! Modules in reading order: [`kinds`] is what it serves, `path` takes a request apart, `store`
//! keeps objects and their history, `change` is patches, `reply` the words of refusals, `stream`
//! watches, [`faults`] what goes wrong on demand, [`server`] puts them
//! together, [`right`] is what a role must grant for a request.

mod change;
pub mod faults;
pub mod kinds;
mod path;
mod reply;
pub mod right;
pub mod server;
mod store;
mod stream;

pub use faults::Fault;
pub use kinds::Kind;
pub use right::Right;
pub use server::{FakeCluster, Origin, Seen};
