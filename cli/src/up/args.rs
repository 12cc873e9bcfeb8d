//! The arguments of `tidegate up`, and what they configure.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;
use tidegate_controller::process::{LogFolder, OutputLine};
use tidegate_flags::{LogArgs, listen_address};
use tidegate_local::keep::Estate;
use tidegate_local::{PlatformConfig, RoleProgram};
use tidegate_services::Services;
use tokio::sync::mpsc;

use super::inherited::Inherited;
use crate::foreground::{EntranceArgs, ShownArgs};
use crate::keep::KeepArgs;
use crate::run::listen_anywhere;
use crate::services_file::{ServicesFile, USUAL};
use tidegate_flags::files::make_folder;

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
    pub(super) entrance: EntranceArgs,
    /// Keep everything the apps write, in one file for each instance.
    #[arg(long, value_name = "DIR")]
    pub(super) log_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) shown: ShownArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
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
    let listeners = inherited.of_services(&services);
    let listener = match inherited.front_door() {
        Some(listener) => listener,
        None => listen(args.listen.or(services.listen), estate.as_ref())?,
    };
    Ok(PlatformConfig {
        surroundings: file.surroundings(args.shown.colours()),
        services,
        listener,
        listeners,
        tls: args.entrance.tls(),
        streams: args.entrance.stream_limits(),
        output,
        logs: logs.transpose()?,
        server_timing: args.shown.server_timing(),
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
