//! The sidecar's contract, from outside: the built binary, real sockets, every row of the table
//! that Knative's own sidecar was observed by, and each of its defects that is mended here.
//!
//! [`sidecar`] starts the binary on free ports, [`app`] plays the app behind it, [`client`] speaks
//! HTTP/1 byte by byte. The other modules follow the sections of the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

mod app;
mod client;
mod sidecar;

mod abandoned;
mod breaker;
mod config;
mod credits;
mod drain;
mod errors;
mod half_closed;
mod host_headers;
mod http2;
mod kubelet;
mod left;
mod load_stream;
mod logging;
mod otlp;
mod overflow;
mod probes;
mod proxying;
mod request_log;
mod secrets;
mod stats;
mod tcp;
mod timeouts;
mod tls;
mod traces;
mod websocket;
