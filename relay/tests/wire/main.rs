//! The data plane over real sockets: raw bytes in, raw bytes out.
//!
//! [`harness`] sets up a proxy between a scripted app and a raw client, on listeners of
//! [`sockets`]; [`frames`] writes HTTP/2 byte by byte. Every other module tests one kind of
//! behaviour.

mod abandoned;
mod basics;
mod causes;
mod conversation;
mod drain;
mod early;
mod errors;
mod exact_bounds;
mod extended_connect;
mod frames;
mod half_closed;
mod half_closed_heads;
mod harness;
mod http2;
mod informational;
mod long_trailers;
mod response_hook;
mod smuggling;
mod sockets;
mod stream_limits;
mod timeouts;
mod trailers;
mod upgrades;
mod verdicts;
mod ways_in;
mod websocket_client;
