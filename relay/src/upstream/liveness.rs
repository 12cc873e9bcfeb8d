//! Detecting a peer that has vanished silently: a node that lost its power, a network that drops
//! every packet.
//!
//! A closed connection is reported. A vanished peer is not: by default the kernel keeps the
//! connection for a quarter of an hour with data in flight, and without data for ever. So
//! keep-alive probes are enabled. A peer that is merely slow is not affected: its kernel
//! acknowledges for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// After this much silence the kernel sends a keep-alive probe, as with Go's dialler.
const SILENCE: Duration = Duration::from_secs(15);
/// The time between two probes.
const PROBE_PERIOD: Duration = Duration::from_secs(5);
/// How long bytes or probes may stay unacknowledged: what gRPC takes for a dead connection, and
/// some six retransmissions.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// Enables the kernel's checks on a connection. On loopback no packet is lost, so there the system
/// calls are saved.
pub(crate) fn watch(stream: &TcpStream, address: &SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    enable(stream)
}

fn enable(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBE_PERIOD);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_probes_peers_beyond_loopback() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        watch(&stream, &address).unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap(), "loopback loses nothing");
        enable(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
    }
}
