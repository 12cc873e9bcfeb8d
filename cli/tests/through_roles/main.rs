//! What was tested at the relay only, through the roles as processes: the sidecar in front of an
//! app, an activator in front of the sidecar, and either alone.
//!
//! Trailers and the causes of made-up errors had their tests in the relay's own suite, where no
//! role stands in between. A role may add, drop or reword on the way: these tests hold what a
//! client and an app see in the end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

mod apps;
mod causes;
mod clients;
mod learning;
mod processes;
#[path = "../metrics/sidecar_command.rs"]
mod sidecar_command;
mod trailers;
