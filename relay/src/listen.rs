//! Listening sockets: the same kind for every role.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps until they are accepted: Linux' own maximum since 5.4, which
/// is also what Go asks for. With the 128 of the standard library a burst of clients overflows
/// the queue, and those that do not fit try again only after a second.
const BACKLOG: i32 = 4096;

/// Binds a listener to `address`; port 0 takes a free one. The unspecified IPv6 address takes
/// connections over IPv4 as well. It does not block, so it can be handed to a runtime as it is.
///
/// # Errors
///
/// When the address is in use, is not this machine's, or its port may not be taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted process must not wait for the connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
