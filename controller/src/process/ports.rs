//! Free ports on this machine.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;

/// The ports that are handed out. They are below the range of Linux's outgoing connections, so that
/// no connection of a busy machine takes one between the check and its use.
const FIRST: u16 = 10_240;
const LAST: u16 = 32_767;

/// Hands out free ports, none of them twice at a time.
#[derive(Debug, Clone)]
pub struct Ports {
    leased: Arc<Mutex<Leased>>,
}

#[derive(Debug)]
struct Leased {
    ports: BTreeSet<u16>,
    next: u16,
}

/// A port that no other lease has until this is dropped.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    leased: Arc<Mutex<Leased>>,
}

/// Every port is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no free port between {FIRST} and {LAST}: stop something that listens there")]
pub struct NoPort;

impl Default for Ports {
    fn default() -> Self {
        Self::new()
    }
}

impl Ports {
    /// Begins somewhere at random, so that two controllers on one machine seldom try the same port.
    #[must_use]
    pub fn new() -> Self {
        let random = RandomState::new().build_hasher().finish();
        let offset = u16::try_from(random % u64::from(LAST - FIRST)).unwrap_or(0);
        let leased = Leased { ports: BTreeSet::new(), next: FIRST + offset };
        Self { leased: Arc::new(Mutex::new(leased)) }
    }

    /// A port on which no process listens now.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn lease(&self) -> Result<Lease, NoPort> {
        let mut leased = self.leased.lock();
        for _ in FIRST..=LAST {
            let port = leased.next;
            leased.next = if port == LAST { FIRST } else { port + 1 };
            if !leased.ports.contains(&port) && is_free(port) {
                leased.ports.insert(port);
                return Ok(Lease { port, leased: Arc::clone(&self.leased) });
            }
        }
        Err(NoPort)
    }
}

impl Lease {
    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leased.lock().ports.remove(&self.port);
    }
}

/// An app may listen on every interface, so the port must be free on all of them.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice_at_a_time() {
        let ports = Ports::new();
        let leases: Vec<Lease> = (0..50).map(|_| ports.lease().expect("a free port")).collect();
        let distinct: BTreeSet<u16> = leases.iter().map(Lease::port).collect();
        assert_eq!(distinct.len(), 50);
        assert!(distinct.iter().all(|port| (FIRST..=LAST).contains(port)));
        drop(leases);
        assert!(ports.leased.lock().ports.is_empty());
    }

    #[test]
    fn a_port_in_use_is_skipped() {
        let ports = Ports::new();
        let lease = ports.lease().expect("a free port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lease.port())).expect("free");
        assert!(!is_free(lease.port()));
        drop(listener);
    }
}
