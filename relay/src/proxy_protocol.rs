//! The PROXY protocol, version 2: by it a load balancer that passes connections on as they are
//! says whose they are, in a header before the client's first byte.
//!
//! Whoever may send the header decides what address a client seems to have, so it is read only of
//! peers that are named, and of those it is required: a connection with and without it cannot be
//! told apart by guessing. Version 1, which is a line of text, is not understood.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What each header begins with, chosen so that no other protocol takes it for its own.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes before the addresses.
const HEAD_BYTES: usize = 16;

/// The longest rest that is read: the longest addresses take 216 bytes, and what balancers add
/// about a TLS session, certificate included, some thousands.
const REST_BYTES_MAX: usize = 4096;

/// Bytes of the addresses of each family.
const IPV4_BYTES: usize = 12;
const IPV6_BYTES: usize = 36;
const UNIX_BYTES: usize = 216;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The sender's own, such as a health check.
    Local,
    /// A client's.
    Client {
        /// Where the client is.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// A client's that has no IP address.
    Unknown,
}

/// A header that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY header: {0}")]
pub struct MalformedHeader(&'static str);

impl From<MalformedHeader> for io::Error {
    fn from(malformed: MalformedHeader) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, malformed)
    }
}

/// Reads a header at the begin of `bytes`: whose connection it is, and how long the header is.
/// `None` while it is not whole.
///
/// # Errors
///
/// When no further byte can make a header of them.
pub fn parse(bytes: &[u8]) -> Result<Option<(Origin, usize)>, MalformedHeader> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(MalformedHeader("it does not begin as one of version 2"));
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let head = Head::read(head)?;
    match rest.get(..head.rest_bytes) {
        Some(rest) => Ok(Some((head.origin(rest)?, HEAD_BYTES + head.rest_bytes))),
        None => Ok(None),
    }
}

/// Reads a header, and not a byte more, from a connection that has just been accepted.
///
/// # Errors
///
/// When the connection breaks or ends, or does not begin with a header.
///
/// Not cancel safe.
pub async fn receive<S>(stream: &mut S) -> io::Result<Origin>
where
    S: AsyncRead + Unpin,
{
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head[..SIGNATURE.len()]).await?;
    parse(&head[..SIGNATURE.len()])?;
    stream.read_exact(&mut head[SIGNATURE.len()..]).await?;
    let head = Head::read(&head)?;
    let mut rest = vec![0; head.rest_bytes];
    stream.read_exact(&mut rest).await?;
    Ok(head.origin(&rest)?)
}

/// The header of a connection from `source` to `destination`.
pub fn header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.push(VERSION | Command::Proxy as u8);
    match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            header.extend_from_slice(&[TCP_OVER_IPV4, 0, IPV4_BYTES as u8]);
            header.extend_from_slice(&source.ip().octets());
            header.extend_from_slice(&destination.ip().octets());
        }
        // A header has one family: an address of the other one is written as of this.
        _ => {
            header.extend_from_slice(&[TCP_OVER_IPV6, 0, IPV6_BYTES as u8]);
            for address in [source, destination] {
                header.extend_from_slice(&as_ipv6(address.ip()).octets());
            }
        }
    }
    for address in [source, destination] {
        header.extend_from_slice(&address.port().to_be_bytes());
    }
    header
}

fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

const VERSION: u8 = 0x20;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
const UNSPECIFIED: u8 = 0x00;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Command {
    Local = 0,
    Proxy = 1,
}

/// What is known before the addresses.
struct Head {
    command: Command,
    family: u8,
    /// Bytes of the addresses and what follows them.
    rest_bytes: usize,
}

impl Head {
    fn read(head: &[u8; HEAD_BYTES]) -> Result<Head, MalformedHeader> {
        let [signature @ .., command, family, high, low] = head;
        if *signature != SIGNATURE {
            return Err(MalformedHeader("it does not begin as one of version 2"));
        }
        let command = match *command {
            0x20 => Command::Local,
            0x21 => Command::Proxy,
            _ => return Err(MalformedHeader("its version or command is unknown")),
        };
        let rest_bytes = usize::from(u16::from_be_bytes([*high, *low]));
        if rest_bytes > REST_BYTES_MAX {
            return Err(MalformedHeader("it is too long"));
        }
        Ok(Head { command, family: *family, rest_bytes })
    }

    /// Reads the addresses, and checks that what follows them are whole fields.
    fn origin(&self, rest: &[u8]) -> Result<Origin, MalformedHeader> {
        if self.command == Command::Local {
            // Whatever it says of addresses does not count.
            return Ok(Origin::Local);
        }
        let short = MalformedHeader("it is too short for its addresses");
        let (origin, fields) = match self.family {
            TCP_OVER_IPV4 => {
                let (addresses, fields) = rest.split_first_chunk::<IPV4_BYTES>().ok_or(short)?;
                (ipv4(addresses), fields)
            }
            TCP_OVER_IPV6 => {
                let (addresses, fields) = rest.split_first_chunk::<IPV6_BYTES>().ok_or(short)?;
                (ipv6(addresses), fields)
            }
            UNIX_STREAM => (Origin::Unknown, rest.get(UNIX_BYTES..).ok_or(short)?),
            // What is in it then is nobody's to know.
            UNSPECIFIED => return Ok(Origin::Unknown),
            _ => return Err(MalformedHeader("its family or transport is unknown")),
        };
        check_fields(fields)?;
        Ok(origin)
    }
}

fn ipv4(addresses: &[u8; IPV4_BYTES]) -> Origin {
    let [a, b, c, d, e, f, g, h, source_high, source_low, high, low] = *addresses;
    let address = |ip: [u8; 4], port| SocketAddr::from((Ipv4Addr::from(ip), port));
    Origin::Client {
        source: address([a, b, c, d], u16::from_be_bytes([source_high, source_low])),
        destination: address([e, f, g, h], u16::from_be_bytes([high, low])),
    }
}

fn ipv6(addresses: &[u8; IPV6_BYTES]) -> Origin {
    let [source @ .., source_high, source_low, high, low] = addresses;
    let (source, destination) = source.split_at(16);
    let address = |ip: &[u8], port| {
        // Half of 32 bytes.
        let ip = <[u8; 16]>::try_from(ip).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from);
        SocketAddr::from(SocketAddrV6::new(ip, port, 0, 0))
    };
    Origin::Client {
        source: address(source, u16::from_be_bytes([*source_high, *source_low])),
        destination: address(destination, u16::from_be_bytes([*high, *low])),
    }
}

/// Fields behind the addresses are a kind, a length and as many bytes. None of them is used.
fn check_fields(mut fields: &[u8]) -> Result<(), MalformedHeader> {
    while let Some(([_, high, low], rest)) = fields.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        fields = rest.get(length..).ok_or(MalformedHeader("a field of it is cut"))?;
    }
    match fields {
        [] => Ok(()),
        _ => Err(MalformedHeader("a field of it is cut")),
    }
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
