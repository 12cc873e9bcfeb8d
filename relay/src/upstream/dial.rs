//! Making connections, with the patience Knative's sidecar has: refusals are reported at once,
//! time-outs are tried again for a while.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::{TcpStream, ToSocketAddrs, UnixStream};
use tokio::time::{Instant, sleep, timeout};

use super::{Address, Upstream};
use crate::error::ForwardError;
use crate::h1::Connection;
use crate::io::Io;

/// The first attempt's limit; each further one gets [`GROWTH`] times as long.
const FIRST_LIMIT: Duration = Duration::from_millis(50);
const GROWTH: f64 = 1.4;
const ATTEMPTS_MAX: u32 = 15;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(45);

impl Upstream {
    /// A fresh HTTP/1 connection.
    pub(crate) async fn dial(&self) -> Result<Connection, ForwardError> {
        Ok(Connection::new(self.dial_io().await?))
    }

    pub(super) async fn dial_io(&self) -> Result<Box<dyn Io>, ForwardError> {
        let started = Instant::now();
        let mut limit = FIRST_LIMIT;
        for attempt in 1..=ATTEMPTS_MAX {
            match timeout(limit, self.connect()).await {
                Ok(Ok(io)) => return Ok(io),
                Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
                    self.unlearn();
                    return Err(self.refused(error));
                }
                Ok(Err(_)) | Err(_) if attempt < ATTEMPTS_MAX => sleep(PAUSE).await,
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
        ForwardError::Connect { network, address: self.address.to_string(), source }
    }

    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        match &self.address {
            Address::Tcp(address) => tcp(*address).await,
            Address::Loopback(port) => self.connect_loopback(*port).await,
            Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }

    /// Tries the address that worked last, then the other one if nobody listens on the first.
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
            // A machine without IPv6 has nothing to add.
            Err(_) => Err(refusal),
        }
    }
}

async fn tcp(address: impl ToSocketAddrs) -> io::Result<Box<dyn Io>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
