//! `tidegate webhook`: the sidecar for pods that ask for it, as a cluster makes them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{LogArgs, listen_address};
use tidegate_kubernetes_inject::Options;
use tidegate_kubernetes_webhook::keeper::BUNDLE_FILE;
use tidegate_kubernetes_webhook::{Keeper, serve};
use tidegate_shutdown_signals::ShutdownSignals;
use tokio::net::TcpListener;

use crate::inject::SettingArgs;
use tidegate_flags::ending::mistyped;

/// What was typed after `tidegate webhook`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to answer the API server: POST /inject, and GET /healthz, over TLS.
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443", value_parser = listen_address)]
    listen: SocketAddr,
    /// Where the certificates are kept, a folder that is there. Its ca.crt is what the
    /// MutatingWebhookConfiguration needs as caBundle.
    #[arg(long, value_name = "DIR")]
    certificates: PathBuf,
    /// A name by which the API server calls: SERVICE.NAMESPACE.svc. Repeatable.
    #[arg(long = "dns-name", value_name = "NAME", required = true)]
    names: Vec<String>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Answers until a signal to stop.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    args.log.install(ROLE_DEFAULT);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(answer(args))
}

async fn answer(args: Args) -> anyhow::Result<ExitCode> {
    let mut signals = ShutdownSignals::of_role().context("cannot wait for signals")?;
    let mut options = Options::default();
    args.settings.apply(&mut options.settings).map_err(mistyped)?;
    let keeper = Keeper::open(&args.certificates, &args.names).context("--certificates")?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let bundle = args.certificates.join(BUNDLE_FILE);
    let address = listener.local_addr()?;
    eprintln!("tidegate webhook: listening on {address}, caBundle in {}", bundle.display());
    let config = keeper.config();
    let config = move || Arc::clone(&config.borrow());
    let serving = serve(listener, config, options.settings, |_| {});
    tokio::select! {
        _ = signals.next() => {}
        () = serving => {}
        () = keeper.run() => {}
    }
    Ok(ExitCode::SUCCESS)
}
