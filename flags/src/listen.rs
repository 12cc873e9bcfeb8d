//! Where a role serves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The variable that says where a role listens.
pub const LISTEN_VARIABLE: &str = "TIDEGATE_LISTEN";

/// Where to listen: `HOST:PORT`, `:PORT` or `PORT`; the host is 127.0.0.1 when absent.
///
/// # Errors
///
/// A sentence with what was expected, for a parser of arguments to put the flag before.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::new(loopback, port));
    }
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("{loopback}:{port}"),
        None => text.to_owned(),
    };
    text.parse().map_err(|_| "expected an address such as 127.0.0.1:8080, or a port".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        assert_eq!(listen_address("8080").map(|at| at.to_string()), Ok("127.0.0.1:8080".into()));
        assert!(listen_address(":0").is_ok() && listen_address("localhost:1").is_ok());
        assert!(listen_address("[::1]:80").is_ok());
        for bad in ["", "nowhere", "host:80", "1.2.3.4", "65536", "-1"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
