//! Noticing a peer that has vanished without a word: a node that lost its power, a network that
//! drops everything.
//!
//! A closed connection says so. A vanished peer does not, and by default the kernel goes on
//! believing in it for a quarter of an hour with data under way, and for ever without. Here it
//! asks. A peer that is merely slow is not affected: its kernel acknowledges for it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A connection that was silent for so long is asked whether the other end still exists, as Go's
/// dialler does.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two questions.
const QUESTION_PERIOD: Duration = Duration::from_secs(5);
/// How long bytes or questions may stay unacknowledged: what gRPC takes for a dead connection, and
/// some six retransmissions.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// Has the kernel watch over a connection. On one machine nothing is lost on the way, so there the
/// system calls are saved.
pub(super) fn watch(stream: &TcpStream, address: &SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    ask(stream)
}

fn ask(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let questions = TcpKeepalive::new().with_time(SILENCE).with_interval(QUESTION_PERIOD);
    socket.set_tcp_keepalive(&questions)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_is_asked_to_notice() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        watch(&stream, &address).unwrap();
        assert!(!SockRef::from(&stream).keepalive().unwrap(), "loopback loses nothing");
        ask(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
    }
}
