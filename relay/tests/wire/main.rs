//! The data plane over real sockets: raw bytes in, raw bytes out.
//!
//! [`stage`] sets up a proxy between a scripted app and a raw client; every other module plays
//! one kind of scene on it.

mod abandoned;
mod basics;
mod causes;
mod drain;
mod early;
mod errors;
mod frames;
mod half_closed;
mod half_closed_heads;
mod http2;
mod informational;
mod smuggling;
mod stage;
mod timeouts;
mod trailers;
mod upgrades;
mod verdicts;
mod ways_in;
