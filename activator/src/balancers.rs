//! Load balancers in front of an activator that pass connections on as they are, and say by a
//! header of the PROXY protocol whose they are.
//!
//! The header decides which client an app sees, so only peers that a setting names are believed,
//! and of those each connection has to begin with one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tidegate_relay::metrics::ConnectionFailure;
use tidegate_relay::proxy_protocol::{self, Origin};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a balancer may take for its header, which it has before the connection is made.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The networks that they are in.
#[derive(Debug, Clone, Default)]
pub struct Balancers(Arc<[IpNet]>);

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; expected an address, or one with a prefix, such as 10.0.0.0/8")]
pub struct BadNetwork(String);

/// The two ends of a client's connection, as its first hop saw them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) client: SocketAddr,
    /// Where the client connected to; `None` if the system does not know.
    pub(crate) reached: Option<SocketAddr>,
}

impl Balancers {
    /// Those in the networks with these texts: an address, or one with a prefix.
    ///
    /// # Errors
    ///
    /// With the first text that is no network.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, BadNetwork> {
        let network = |text: &str| {
            let text = text.trim();
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse()).map_err(|_| BadNetwork(text.to_owned()))
        };
        let networks: Result<Vec<IpNet>, _> = texts.into_iter().map(network).collect();
        Ok(Self(networks?.into()))
    }

    fn include(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Whose connection it is, by its header if it is a balancer's. `None` when it is one's that
    /// did not say, which is counted.
    ///
    /// Not cancel safe.
    pub(crate) async fn ends(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<Ends> {
        let own = Ends { client: peer, reached: stream.local_addr().ok() };
        if !self.include(peer.ip()) {
            return Some(own);
        }
        let received = timeout(HEADER_TIMEOUT, proxy_protocol::receive(stream)).await;
        match received.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(Origin::Client { source, destination }) => {
                Some(Ends { client: source, reached: Some(destination) })
            }
            Ok(Origin::Local | Origin::Unknown) => Some(own),
            // It looked whether the port is open.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => {
                ConnectionFailure::ProxyHeader.count();
                tracing::debug!(%peer, %error, "a balancer did not say whose connection it is");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_addresses_with_or_without_a_prefix() {
        let balancers = Balancers::parse(["10.0.0.0/8", " 192.0.2.1", "2001:db8::/32"]).unwrap();
        for (peer, expected) in [
            ("10.200.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::ffff:10.0.0.1", true),
            ("2001:db8:1::1", true),
            ("::1", false),
        ] {
            assert_eq!(balancers.include(peer.parse().unwrap()), expected, "{peer}");
        }
        assert!(!Balancers::default().include("127.0.0.1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "example.com", "10.0.0", "1.2.3.4:5"] {
            assert_eq!(Balancers::parse([bad]).unwrap_err(), BadNetwork(bad.to_owned()));
        }
    }
}
