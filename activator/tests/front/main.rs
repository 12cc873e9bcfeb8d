//! The whole front door over real sockets: apps that count, a controller that can die, clients that
//! are not nice.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail like the test itself")]

mod abandoned;
mod app;
mod client;
mod controller;
mod faults;
mod garbage;
mod holding;
mod left;
mod protocols;
mod revision_ports;
mod routing;
mod silence;
mod stage;
