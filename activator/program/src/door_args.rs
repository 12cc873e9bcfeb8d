//! Flags of every verb that stands between clients and apps: TLS, and how long streams may last.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_activator::TlsListen;
use tidegate_relay::StreamLimits;

use tidegate_flags::values::time_within;
use tidegate_words::time::WAIT_MAX;

/// The shortest life or silence of a stream that is no typing error.
const STREAM_MIN: Duration = Duration::from_millis(100);

/// What is shown to clients over TLS.
#[derive(Debug, Clone, clap::Args)]
pub struct CertificateArgs {
    /// A folder with a certificate, as Kubernetes mounts a TLS secret: tls.crt and tls.key. May be
    /// repeated, a folder for each: clients are shown the first that is valid for the name they ask
    /// for, else the first of all. With one, HTTP over TLS is served at --tls-listen.
    #[arg(long = "certificate", value_name = "DIR", hide_short_help = true)]
    certificates: Vec<PathBuf>,
}

impl CertificateArgs {
    /// TLS at this address, if there is a certificate.
    pub fn at(self, address: SocketAddr) -> Option<TlsListen> {
        let Self { certificates } = self;
        (!certificates.is_empty()).then_some(TlsListen { address, certificates })
    }
}

/// How long what has begun may last.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct StreamArgs {
    /// How long a response or a connection may last once it has begun. A WebSocket is then closed
    /// in order (code 1001), anything else is cut. Unlimited when absent.
    #[arg(
        long,
        value_name = "TIME",
        hide_short_help = true,
        value_parser = time_within(STREAM_MIN, WAIT_MAX)
    )]
    stream_lifetime: Option<Duration>,
    /// How long nothing may move on one, with the same end. Unlimited when absent.
    #[arg(
        long,
        value_name = "TIME",
        hide_short_help = true,
        value_parser = time_within(STREAM_MIN, WAIT_MAX)
    )]
    stream_idle: Option<Duration>,
}

impl StreamArgs {
    /// The limits that were typed.
    pub fn limits(self) -> StreamLimits {
        StreamLimits { idle: self.stream_idle, lifetime: self.stream_lifetime }
    }
}
