//! How connections reach `tidegate activator` beside plain HTTP, and how long they may last.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tidegate_activator::{Announcement, Balancers, Config, TcpListen};
use tidegate_flags::listen_address;

use crate::door_args::{CertificateArgs, StreamArgs};
use crate::revision::Revision;

/// Knative's port for TLS to an activator.
const TLS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8112);

/// What was typed of it.
#[derive(Debug, clap::Args)]
pub(crate) struct EntranceArgs {
    #[command(flatten)]
    certificates: CertificateArgs,
    /// Where to listen for HTTP over TLS.
    #[arg(
        long,
        value_name = "ADDR",
        default_value_t = TLS_LISTEN,
        hide_short_help = true,
        value_parser = listen_address
    )]
    tls_listen: SocketAddr,
    /// A port whose connections are passed on as they are, whatever they carry, to the instances of
    /// a revision, each counting as one of its requests. With `proxy-protocol` the instance is told
    /// by a header of it (version 2) whose the connection is. May be repeated.
    #[arg(long = "tcp-port", value_name = "PORT=NAMESPACE/NAME[,proxy-protocol]")]
    tcp_ports: Vec<TcpPort>,
    /// Load balancers whose connections begin with a header of the PROXY protocol, version 2: their
    /// addresses, or networks such as 10.0.0.0/8, with commas between. Nobody else is believed.
    #[arg(
        long = "proxy-protocol-from",
        value_name = "NETWORKS",
        default_value = "",
        hide_default_value = true,
        hide_short_help = true,
        value_parser = balancers
    )]
    balancers: Balancers,
    #[command(flatten)]
    streams: StreamArgs,
}

/// Networks with commas between.
fn balancers(text: &str) -> Result<Balancers, String> {
    let texts = text.split(',').filter(|text| !text.trim().is_empty());
    Balancers::parse(texts).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct TcpPort {
    port: u16,
    revision: Revision,
    announcement: Announcement,
}

impl FromStr for TcpPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected PORT=NAMESPACE/NAME or PORT=NAMESPACE/NAME,proxy-protocol, such as \
             5432=default/db"
                .to_owned()
        };
        let (port, rest) = text.split_once('=').ok_or_else(expected)?;
        let (revision, announcement) = match rest.split_once(',') {
            None => (rest, Announcement::Nothing),
            Some((revision, "proxy-protocol")) => (revision, Announcement::ProxyHeader),
            Some(_) => return Err(expected()),
        };
        let port = port.parse().map_err(|_| expected())?;
        let revision = revision.parse().map_err(|_| expected())?;
        Ok(Self { port, revision, announcement })
    }
}

impl EntranceArgs {
    /// Puts what was typed into `config`. Ports are at its own address.
    pub(crate) fn apply(self, config: &mut Config) {
        config.tls = self.certificates.at(self.tls_listen);
        let at = config.listen.ip();
        let tcp = self.tcp_ports.into_iter().map(|TcpPort { port, revision, announcement }| {
            let Revision(revision) = revision;
            TcpListen { address: SocketAddr::new(at, port), revision, announcement }
        });
        config.tcp_ports = tcp.collect();
        config.balancers = self.balancers;
        config.limits.stream = self.streams.limits();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_and_without_a_header() {
        let port: TcpPort = "5432=default/db".parse().unwrap();
        assert_eq!((port.port, port.announcement), (5432, Announcement::Nothing));
        assert_eq!(port.revision.0.name, "db");
        let port: TcpPort = "5432=default/db,proxy-protocol".parse().unwrap();
        assert_eq!(port.announcement, Announcement::ProxyHeader);
        for bad in ["", "5432", "=a/b", "70000=a/b", "1=a", "1=a/", "1=a/b,", "1=a/b,proxy"] {
            assert!(bad.parse::<TcpPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_have_commas_between() {
        assert!(balancers("").is_ok());
        assert!(balancers("10.0.0.0/8, ::1").is_ok());
        assert!(balancers("10.0.0.0/8,x").unwrap_err().contains("\"x\""));
    }
}
