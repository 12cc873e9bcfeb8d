//! A burst of clients while no connection is accepted.
//!
//! The activator and the controller listened with the standard library's backlog of 128
//! connections. Of a thousand clients, or reporters of a restarted controller, at the same moment,
//! those beyond it were not refused: the kernel dropped their packets, and they tried again after a
//! second.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Clients of the burst.
const CLIENTS: usize = 1_000;

/// Less than what a dropped connection waits until it tries again: one second.
const NO_RETRY: Duration = Duration::from_millis(900);

#[test]
fn a_burst_of_clients_is_queued_until_it_is_accepted() {
    let listener = tidegate_relay::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    // Only a system that allows longer queues can have one.
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let allowed = allowed.and_then(|text| text.trim().parse().ok()).unwrap_or(128);
    let clients: Vec<_> = (0..CLIENTS.min(allowed))
        .map(|number| {
            TcpStream::connect_timeout(&address, NO_RETRY)
                .unwrap_or_else(|error| panic!("client {number} was not queued: {error}"))
        })
        .collect();
    // All of them can be accepted: none was dropped meanwhile.
    assert!(clients.iter().all(|_| listener.accept().is_ok()));
}
