//! Connections for probes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_dial::Host;
use tokio::net::TcpStream;

use super::failure::ProbeFailure;

/// Connects to the host of a probe. An app that listens on `[::1]` alone is found there when
/// 127.0.0.1 refuses: requests take the same way.
pub(super) async fn connect(host: &Host, port: u16) -> Result<TcpStream, ProbeFailure> {
    let first = match host.connect(port).await {
        Ok(stream) => return Ok(prepared(stream)),
        Err(error) => error,
    };
    let addresses = authority(host.name(), port);
    if host.name().parse() != Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
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
