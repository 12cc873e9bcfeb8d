//! A whole activator over real sockets: apps that count requests, a controller that can be killed,
//! and clients that break the protocol.

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
mod released;
mod revision_ports;
mod routing;
mod silence;
mod stage;
mod tcp_ports;
