//! Flags of the verbs that serve apps for as long as they run and show it: `run` and `up`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tidegate_activator::TlsListen;
use tidegate_flags::listen_address;
use tidegate_local::ServerTimingHeader;
use tidegate_local::environment::Colours;
use tidegate_relay::StreamLimits;

use crate::page::{PageChoice, page_choice};
use crate::terminal::{Colour, Surface, Target};
use tidegate_activator_program::door_args::{CertificateArgs, StreamArgs};

/// The default address for clients that connect over TLS.
const TLS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8443);

/// What clients meet besides the plain address.
#[derive(Debug, clap::Args)]
pub(crate) struct EntranceArgs {
    #[command(flatten)]
    certificates: CertificateArgs,
    /// Where clients connect over TLS, with a certificate; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value_t = TLS_LISTEN,
        hide_short_help = true,
        value_parser = listen_address
    )]
    tls_listen: SocketAddr,
    #[command(flatten)]
    streams: StreamArgs,
}

impl EntranceArgs {
    /// TLS, if there is a certificate.
    pub(crate) fn tls(&self) -> Option<TlsListen> {
        self.certificates.clone().at(self.tls_listen)
    }

    /// How long what has begun may last.
    pub(crate) fn stream_limits(&self) -> StreamLimits {
        self.streams.limits()
    }
}

/// What people see of it, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct ShownArgs {
    /// Where to serve a page that shows live in a browser what runs; the link to it, which is good
    /// once, is printed. `off` for none [default: a free port of 127.0.0.1, where output is a
    /// terminal].
    #[arg(long, value_name = "ADDR|off", value_parser = page_choice)]
    pub(crate) page: Option<PageChoice>,
    /// Tell clients in the header Server-Timing where the time of a cold start went.
    #[arg(long)]
    server_timing: bool,
    /// Print every decision, not only those that change something, and where the time of each cold
    /// start went.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Do not print what apps write.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print the summary as JSON on standard output, and everything else on standard error.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ShownArgs {
    /// How events are shown.
    pub(crate) fn surface(&self) -> Surface {
        if self.json { Surface::Lines } else { Surface::of_stdout() }
    }

    /// Where a person reads them.
    pub(crate) fn target(&self) -> Target {
        if self.json { Target::Stderr } else { Target::Stdout }
    }

    /// Whether the output of apps goes where colours are shown.
    pub(crate) fn colours(&self) -> Colours {
        match self.surface() {
            Surface::Terminal(Colour::On) => Colours::Shown,
            _ => Colours::Unwanted,
        }
    }

    /// Whether clients are told where the time of a cold start went.
    pub(crate) fn server_timing(&self) -> ServerTimingHeader {
        match self.server_timing {
            true => ServerTimingHeader::Shown,
            false => ServerTimingHeader::Hidden,
        }
    }
}
