//! HTTP/1: heads, framing, and a buffered connection that reads and writes both.
//!
//! Written here because the contract needs what a general library does not offer: informational
//! responses as they arrive, trailers whatever the client announced, request targets byte for byte,
//! Go's error texts, and the connection itself given back for a tunnel or for HTTP/2.
//!
//! Reading order: [`section`] (where lines and sections end), [`fields`] (one field block),
//! [`request`] and [`response`] (heads), [`decoder`] and [`encoder`] (bodies), [`connection`] (all
//! of it over a byte stream).

pub(crate) mod connection;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod fields;
pub(crate) mod reason;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod section;

pub(crate) use connection::Connection;
