//! `tidegate-kubernetes webhook`: the sidecar for pods that ask for it, as a cluster creates them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{
    AdminArgs, LISTEN_VARIABLE, LogArgs, TLS_CERT_VARIABLE, TLS_KEY_VARIABLE, admin, listen_address,
};
use tidegate_knative::environment::TIDEGATE_CONTROLLER;
use tidegate_kubernetes::webhook::{Config, serve};
use tidegate_kubernetes_inject::Settings;
use tidegate_kubernetes_inject::settings::IMAGE_VARIABLE;
use tidegate_telemetry::Registry;
use tokio::net::TcpListener;

use super::{AlwaysReady, client, on_every_core, stopped};

/// What was typed after `tidegate-kubernetes webhook`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the API server asks: POST /inject, over TLS.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:8443",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    /// The webhook's certificate chain, PEM; read anew when it changes.
    #[arg(long, value_name = "FILE", env = TLS_CERT_VARIABLE)]
    tls_cert: PathBuf,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = TLS_KEY_VARIABLE)]
    tls_key: PathBuf,
    /// The sidecar's image.
    #[arg(long, value_name = "IMAGE", env = IMAGE_VARIABLE)]
    image: Option<String>,
    /// The controller that takes the sidecars' reports.
    #[arg(long, value_name = "HOST:PORT", env = TIDEGATE_CONTROLLER)]
    controller: Option<String>,
    /// Any setting of the sidecar, as the annotation `tidegate.dev/KEY` has it. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Our name in Events.
    #[arg(long, value_name = "NAME", default_value = "webhook", env = "POD_NAME")]
    name: String,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    args.log.install(ROLE_DEFAULT);
    on_every_core(answer(args))
}

async fn answer(args: Args) -> anyhow::Result<()> {
    let stop = stopped()?;
    let registry = Arc::new(Registry::new());
    let settings = settings(&args)?;
    let config = Config {
        client: client().await?,
        name: args.name,
        settings,
        certificate: (args.tls_cert, args.tls_key),
    };
    let listener = tidegate_relay::listen(args.listen).and_then(TcpListener::from_std);
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let observed = AlwaysReady(Arc::clone(&registry));
    let _admin = admin::serve("tidegate-kubernetes webhook", args.admin.bind()?, observed)?;
    tokio::select! {
        served = serve(config, listener, &registry) => served?,
        () = stop => {}
    }
    Ok(())
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    for pair in &args.set {
        settings.set_pair(pair).context("--set")?;
    }
    for (key, value) in [("image", &args.image), ("controller", &args.controller)] {
        if let Some(value) = value {
            settings.set(key, value).with_context(|| format!("--{key}"))?;
        }
    }
    Ok(settings)
}
