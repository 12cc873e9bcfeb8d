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
    /// Ports that are not handed out by chance: an app listens there whatever it is told, now or
    /// when it is started again.
    reserved: BTreeSet<u16>,
    next: u16,
}

/// A port that no other lease has until this is dropped.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    leased: Arc<Mutex<Leased>>,
}

/// A port cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// Every port is taken.
    #[error("no free port between {FIRST} and {LAST}: stop something that listens there")]
    AllTaken,
    /// This one is taken.
    #[error("another program listens on port {0}, where the app is to listen: stop that one")]
    Taken(u16),
}

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
        let (ports, reserved) = (BTreeSet::new(), BTreeSet::new());
        let leased = Leased { ports, reserved, next: FIRST + offset };
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
            let is_ours = leased.ports.contains(&port) || leased.reserved.contains(&port);
            if !is_ours && is_free(port) {
                leased.ports.insert(port);
                return Ok(Lease { port, leased: Arc::clone(&self.leased) });
            }
        }
        Err(NoPort::AllTaken)
    }

    /// A port on which an instance of a run before listens.
    pub fn take_over(&self, port: u16) -> Lease {
        self.leased.lock().ports.insert(port);
        Lease { port, leased: Arc::clone(&self.leased) }
    }

    /// This very port, which is handed out to nobody else from now on.
    ///
    /// # Errors
    ///
    /// When somebody listens there or has a lease of it.
    pub fn lease_fixed(&self, port: u16) -> Result<Lease, NoPort> {
        let mut leased = self.leased.lock();
        leased.reserved.insert(port);
        if !is_free(port) || !leased.ports.insert(port) {
            return Err(NoPort::Taken(port));
        }
        Ok(Lease { port, leased: Arc::clone(&self.leased) })
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
    fn a_fixed_port_is_had_by_one_at_a_time_and_never_by_chance() {
        let ports = Ports::new();
        let port = ports.lease().expect("a free port").port();
        let lease = ports.lease_fixed(port).expect("it is free");
        assert_eq!(ports.lease_fixed(port).err(), Some(NoPort::Taken(port)));
        drop(lease);
        ports.leased.lock().next = port;
        assert_ne!(ports.lease().expect("a free port").port(), port, "it is reserved");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
        let why = ports.lease_fixed(port).expect_err("it is taken").to_string();
        assert!(why.contains(&format!("port {port}")), "{why}");
        drop(listener);
        assert!(ports.lease_fixed(port).is_ok());
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
