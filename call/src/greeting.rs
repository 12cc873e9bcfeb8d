//! What is said at the beginning of a call: one request of HTTP/1.1, and its response.
//!
//! ```text
//! GET /tidegate/call HTTP/1.1                    HTTP/1.1 101 Switching Protocols
//! host: view.example:9501                        connection: upgrade
//! connection: upgrade                            upgrade: tidegate-call/1
//! upgrade: tidegate-call/1
//! authorization: Bearer ...
//! tidegate-site: edge-17
//! tidegate-process: 0123456789abcdef...
//! ```
//!
//! It passes whatever lets WebSockets pass: a load balancer, an ingress that ends TLS. A response
//! of another status refuses the call, and its body says why.

use http::HeaderName;

/// The path that is asked for.
pub const PATH: &str = "/tidegate/call";

/// What is switched to, with its version.
pub const PROTOCOL: &str = "tidegate-call/1";

/// The header that names the site.
pub const SITE: HeaderName = HeaderName::from_static("tidegate-site");

/// The header that tells the calling process from any other: one that lost its connection may take
/// the place of that connection at once, before the view has seen that it is gone.
pub const PROCESS: HeaderName = HeaderName::from_static("tidegate-process");

/// Bytes of that header: 128 bits in hexadecimal.
pub const PROCESS_BYTES: usize = 32;

/// What is negotiated over TLS, at both ends (RFC 7301).
pub const ALPN: &[u8] = b"http/1.1";

/// Longest head of either message, as much as HTTP's library can be held to.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Longest reason for a refusal that is read.
pub const REASON_BYTES_MAX: usize = 1_024;
