//! The arguments of `tidegate up`, and what they configure.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_flags::{LogArgs, listen_address};
use tidegate_local::environment::Colours;
use tidegate_local::keep::Estate;
use tidegate_local::{PlatformConfig, RoleProgram, ServerTimingHeader};
use tidegate_services::Services;
use tokio::sync::mpsc;

use super::inherited::Inherited;
use crate::files::make_folder;
use crate::front_door::{CertificateArgs, StreamArgs};
use crate::keep::KeepArgs;
use crate::page::{PageChoice, page_choice};
use crate::run::{TLS_LISTEN, listen_anywhere};
use crate::services_file::{ServicesFile, USUAL};
use crate::terminal::{Colour, Surface};

/// What was typed after `tidegate up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file: of services, or a manifest with Knative's Services (.yaml).
    #[arg(short, long, value_name = "FILE", default_value = USUAL)]
    pub(super) file: PathBuf,
    /// Where clients of all services connect, whatever the file says [default: 127.0.0.1:8080, or a
    /// free port if that is taken].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(super) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) certificates: CertificateArgs,
    /// Where clients connect over TLS, with a certificate; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value_t = TLS_LISTEN,
        hide_short_help = true,
        value_parser = listen_address
    )]
    pub(super) tls_listen: SocketAddr,
    #[command(flatten)]
    pub(super) streams: StreamArgs,
    /// Keep everything the apps write, in one file for each instance.
    #[arg(long, value_name = "DIR")]
    pub(super) log_dir: Option<PathBuf>,
    /// Where to serve a page that shows the services live in a browser; the link to it, which is
    /// good once, is printed. `off` for none [default: a free port of 127.0.0.1, where output is a
    /// terminal].
    #[arg(long, value_name = "ADDR|off", value_parser = page_choice)]
    pub(super) page: Option<PageChoice>,
    /// Tell clients in the header Server-Timing where the time of a cold start went.
    #[arg(long)]
    pub(super) server_timing: bool,
    /// Print every decision, not only those that change something, and where the time of each cold
    /// start went.
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Do not print what the apps write.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print the summary as JSON on standard output, and everything else on standard error.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// Where events are shown.
pub(super) fn surface(args: &Args) -> Surface {
    if args.json { Surface::Lines } else { Surface::of_stdout() }
}

/// What the services are started with.
pub(super) fn config(
    args: &Args,
    (file, services): (&ServicesFile, Services),
    estate: Option<Estate>,
    inherited: &mut Inherited,
    output: Option<mpsc::Sender<OutputLine>>,
) -> anyhow::Result<PlatformConfig> {
    let logs = args.log_dir.as_deref().map(|folder| {
        make_folder("--log-dir", folder)?;
        LogFolder::open(folder)
            .with_context(|| format!("--log-dir: cannot write to {}", folder.display()))
    });
    let colours = match surface(args) {
        Surface::Terminal(Colour::On) => Colours::Shown,
        _ => Colours::Unwanted,
    };
    let listeners = inherited.of_services(&services);
    let listener = match inherited.front_door() {
        Some(listener) => listener,
        None => listen(args.listen.or(services.listen), estate.as_ref())?,
    };
    Ok(PlatformConfig {
        surroundings: file.surroundings(colours),
        services,
        listener,
        listeners,
        tls: args.certificates.clone().at(args.tls_listen),
        streams: args.streams.limits(),
        output,
        logs: logs.transpose()?,
        server_timing: match args.server_timing {
            true => ServerTimingHeader::Shown,
            false => ServerTimingHeader::Hidden,
        },
        roles: RoleProgram::Ourselves,
        estate,
    })
}

fn listen(asked: Option<SocketAddr>, estate: Option<&Estate>) -> anyhow::Result<TcpListener> {
    match asked {
        Some(address) => {
            tidegate_relay::listen(address).with_context(|| format!("cannot listen on {address}"))
        }
        None => listen_anywhere(estate),
    }
}
