//! Who an instance is, and the connections to it.

use std::sync::Arc;

use tidegate_relay::{Address, Upstream};

/// Name and connections of an instance.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) name: Arc<str>,
    pub(super) upstream: Upstream,
}

/// Reads `host:port` with a numeric host, or `unix:` and a path.
pub(crate) fn parse_address(text: &str) -> Option<Address> {
    match text.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => Some(Address::Unix(path.into())),
        Some(_) => None,
        None => text.parse().ok().map(Address::Tcp),
    }
}
