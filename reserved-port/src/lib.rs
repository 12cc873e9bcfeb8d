//! Ports of this machine that nobody else is given, for tests and benchmarks that must name a port
//! before its process listens there, or where nobody is ever to listen.
//!
//! A port that was free a moment ago is anybody's: the next test may be given it, or a connection
//! may leave from it. A reserved one is bound by a socket that does not listen. The kernel gives it
//! to nobody who asks for any port, and to no connection; whoever names it can listen on it, time
//! and again, if it sets `SO_REUSEADDR`, which Rust's, Go's and Python's servers do. Until then
//! connections to it are refused.
//!
//! It must never be part of what is shipped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

/// What is reserved until this process ends.
static KEPT: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());

/// Rows are sought below the ports that Linux gives to those who ask for any (32,768 and above),
/// where there are long free stretches.
const ROWS_BEGIN: u16 = 10_000;
const ROWS_END: u16 = 32_000;

/// A port of the loopback interface that is its owner's to give away, until this is dropped.
/// Programs that are started in between do not inherit it.
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    _socket: Socket,
}

impl Reserved {
    /// Any port that is free.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new() -> io::Result<Self> {
        Self::at(0)
    }

    /// A socket that nobody shares its port with as it takes it, and everybody afterwards.
    fn at(port: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.set_reuse_address(true)?;
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { address, _socket: socket })
    }

    /// Where one can listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A port as [`Reserved::new`] gives one, until this process ends.
///
/// # Errors
///
/// When no port is free.
pub fn reserve() -> io::Result<SocketAddr> {
    let reserved = Reserved::new()?;
    let address = reserved.address();
    KEPT.lock().push(reserved);
    Ok(address)
}

/// The first of `count` ports in a row, until this process ends.
///
/// # Errors
///
/// When there is no such row.
pub fn reserve_row(count: u16) -> io::Result<u16> {
    static ROWS: AtomicU16 = AtomicU16::new(0);
    let rows = (ROWS_END - ROWS_BEGIN) / count.clamp(1, ROWS_END - ROWS_BEGIN);
    // Processes begin at different rows, so that they seldom look at each other's.
    let begin = u16::try_from(std::process::id() % u32::from(rows)).unwrap_or(0);
    for _ in 0..rows {
        let row = (begin + ROWS.fetch_add(1, Ordering::Relaxed) % rows) % rows;
        let first = ROWS_BEGIN + row * count;
        let reserved: io::Result<Vec<Reserved>> =
            (first..first + count).map(Reserved::at).collect();
        if let Ok(reserved) = reserved {
            KEPT.lock().extend(reserved);
            return Ok(first);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_names_it_can_listen_there_time_and_again() {
        let address = reserve().expect("there is a port");
        for _ in 0..3 {
            let refused = TcpStream::connect(address).expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(address).expect("it is ours");
            let client = TcpStream::connect(address).expect("somebody listens");
            let served = listener.accept().expect("it came").0;
            drop((served, client));
        }
        let listener = TcpListener::bind(("0.0.0.0", address.port())).expect("at any address");
        drop(listener);
    }

    #[test]
    fn nobody_is_given_it() {
        let ours: HashSet<SocketAddr> =
            (0..100).map(|_| reserve().expect("there is a port")).collect();
        assert_eq!(ours.len(), 100);
        // Who is given a port here keeps it, so each of them is another one.
        let others: Vec<TcpListener> =
            (0..500).map_while(|_| TcpListener::bind("127.0.0.1:0").ok()).collect();
        let given = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        assert!(others.iter().all(|listener| !ours.contains(&given(listener))));
    }

    #[test]
    fn a_row_is_nobody_elses() {
        let [first, second] = [(); 2].map(|()| reserve_row(20).expect("there is a row"));
        assert!(first.abs_diff(second) >= 20, "{first} {second}");
        for port in (first..first + 20).chain(second..second + 20) {
            assert!(Reserved::at(port).is_err(), "{port} is taken");
            drop(TcpListener::bind(("127.0.0.1", port)).expect("and can be listened on"));
        }
    }
}
