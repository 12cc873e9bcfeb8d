//! Connecting. A refusal is reported at once; silence is waited out for as long as the caller's
//! [`ConnectPatience`](crate::ConnectPatience) allows.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Address, ConnectPatience, Stream, Upstream, liveness};
use crate::error::ForwardError;
use crate::h1::Connection;
use crate::io::Io;

/// The first attempt's limit; each further one gets [`GROWTH`] times as long.
const FIRST_LIMIT: Duration = Duration::from_millis(50);
const GROWTH: f64 = 1.4;
const ATTEMPTS_MAX: u32 = 15;
/// The time between two attempts.
const PAUSE: Duration = Duration::from_millis(45);

impl Upstream {
    /// A fresh HTTP/1 connection, and how long it took to make.
    pub(crate) async fn dial(
        &self,
        patience: ConnectPatience,
    ) -> Result<(Connection, Duration), ForwardError> {
        let (io, took) = self.dial_io(patience).await?;
        Ok((Connection::new(io), took))
    }

    /// Makes a connection and closes it, to check that the upstream accepts one. Gives how long
    /// that took.
    ///
    /// # Errors
    ///
    /// When the upstream refuses, or stays silent for longer than `limit`.
    ///
    /// Cancel safe.
    pub async fn reach(&self, limit: Duration) -> Result<Duration, ForwardError> {
        self.dial_io(ConnectPatience::Once(limit)).await.map(|(_, took)| took)
    }

    /// Makes a connection for [`splice`](crate::splice::splice). Gives how long that took.
    ///
    /// # Errors
    ///
    /// When the upstream refuses, or stays silent for longer than `limit`.
    ///
    /// Cancel safe.
    pub async fn open(&self, limit: Duration) -> Result<(Stream, Duration), ForwardError> {
        let (io, took) = self.dial_io(ConnectPatience::Once(limit)).await?;
        Ok((Stream(io), took))
    }

    pub(super) async fn dial_io(
        &self,
        patience: ConnectPatience,
    ) -> Result<(Box<dyn Io>, Duration), ForwardError> {
        let started = Instant::now();
        let (mut limit, attempts) = match patience {
            ConnectPatience::Growing => (FIRST_LIMIT, ATTEMPTS_MAX),
            ConnectPatience::Once(limit) => (limit, 1),
        };
        for attempt in 1..=attempts {
            let begun = Instant::now();
            match timeout(limit, self.connect()).await {
                Ok(Ok(io)) => return Ok((io, begun.elapsed())),
                Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                    self.unlearn();
                    return Err(self.refused(error));
                }
                Ok(Err(_)) | Err(_) if attempt < attempts => sleep(PAUSE).await,
                Ok(Err(_)) | Err(_) => {}
            }
            limit = limit.mul_f64(GROWTH);
        }
        let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Err(ForwardError::ConnectTimedOut { address: self.address.to_string(), waited_ms })
    }

    fn refused(&self, source: io::Error) -> ForwardError {
        let network = match self.address {
            Address::Tcp(_) | Address::Loopback(_) => "tcp",
            Address::Unix(_) => "unix",
        };
        let address = self.address.to_string();
        match Errno::from_io_error(&source) {
            Some(Errno::MFILE | Errno::NFILE) => {
                ForwardError::NoDescriptors { network, address, source }
            }
            _ => ForwardError::Connect { network, address, source },
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        match &self.address {
            Address::Tcp(address) => tcp(*address).await,
            Address::Loopback(port) => self.connect_loopback(*port).await,
            Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }

    /// Tries the address that worked last, then the other one if the first refuses.
    async fn connect_loopback(&self, port: u16) -> io::Result<Box<dyn Io>> {
        let on_ipv6 = self.on_ipv6.load(Ordering::Relaxed);
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
        let (first, second) = if on_ipv6 { (six, four) } else { (four, six) };
        let refusal = match tcp(first).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => error,
            outcome => return outcome,
        };
        match tcp(second).await {
            Ok(io) => {
                self.on_ipv6.store(!on_ipv6, Ordering::Relaxed);
                Ok(io)
            }
            // On a machine without IPv6 the first error is the meaningful one.
            Err(_) => Err(refusal),
        }
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Box<dyn Io>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    liveness::watch(&stream, &address)?;
    Ok(Box::new(stream))
}
