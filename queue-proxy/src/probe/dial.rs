//! Connections for probes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::TcpStream;

use super::failure::ProbeFailure;

/// Connects to a host that may be a name. An app that listens on `[::1]` alone is found there when
/// 127.0.0.1 refuses: requests take the same way.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, ProbeFailure> {
    let host = host.trim_matches(['[', ']']);
    let first = match TcpStream::connect((host, port)).await {
        Ok(stream) => return Ok(prepared(stream)),
        Err(error) => error,
    };
    let addresses = authority(host, port);
    if host.parse() != Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
        || first.kind() != io::ErrorKind::ConnectionRefused
    {
        return Err(ProbeFailure::Connect { addresses, source: first });
    }
    match TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(prepared(stream)),
        // Without IPv6 on this machine only the first address's error is meaningful.
        Err(error) if error.kind() != io::ErrorKind::ConnectionRefused => {
            Err(ProbeFailure::Connect { addresses, source: first })
        }
        Err(_) => {
            let addresses = format!("{addresses} or [::1]:{port}");
            Err(ProbeFailure::Connect { addresses, source: first })
        }
    }
}

fn prepared(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Host and port as they stand in a URL.
pub(super) fn authority(host: &str, port: u16) -> String {
    let host = host.trim_matches(['[', ']']);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
