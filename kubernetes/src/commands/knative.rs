//! `tidegate-kubernetes knative`: scales Knative's revisions of our class.
//!
//! It turns what was typed into the settings of [`tidegate_kubernetes::knative`], and serves
//! metrics and readiness beside it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tidegate_autoscaler::Improvements;
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{AdminArgs, LISTEN_VARIABLE, LogArgs, admin, listen_address};
use tidegate_kubernetes::knative::metrics::Metrics;
use tidegate_kubernetes::knative::run::{Config, Peers, run};
use tidegate_kubernetes_podautoscaler::names::SERVING_NAMESPACE;
use tidegate_telemetry::Registry;

use super::{AlwaysReady, client, on_every_core, own_name, stopped};

/// What was typed after `tidegate-kubernetes knative`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Knative's activators connect, by the Service `autoscaler`.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:8080",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    /// Knative's autoscaler, to which everything that activators send goes on.
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "knative-autoscaler:8080",
        value_parser = host_and_port
    )]
    autoscaler: String,
    /// Decide exactly as Knative's own class does, without Tidegate's improvements.
    #[arg(long)]
    like_knative: bool,
    /// Where the other replicas pass on what they hear of activators; needs --peers.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:8081",
        value_parser = listen_address
    )]
    listen_peers: SocketAddr,
    /// A name that has the addresses of all replicas, and the port of --listen-peers; without it
    /// there must be one replica.
    #[arg(long, value_name = "HOST:PORT", requires = "own_address", value_parser = host_and_port)]
    peers: Option<String>,
    /// Our own address, which is left out of --peers.
    #[arg(long, value_name = "IP", env = "POD_IP")]
    own_address: Option<IpAddr>,
    /// The namespace of Knative Serving: its ConfigMaps, and our Lease.
    #[arg(
        long,
        value_name = "NAMESPACE",
        default_value = SERVING_NAMESPACE,
        env = "SYSTEM_NAMESPACE"
    )]
    serving_namespace: String,
    /// Our name, unique among the controllers of the cluster.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    name: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn execute(args: Args) -> anyhow::Result<()> {
    args.log.install(ROLE_DEFAULT);
    on_every_core(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let stop = stopped()?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let observed = AlwaysReady(Arc::new(registry));
    let _admin = admin::serve("tidegate-kubernetes knative", args.admin.bind()?, observed)?;
    let peers = args.peers.zip(args.own_address).map(|(host, own)| {
        let peers = Peers { host, own };
        (args.listen_peers, peers)
    });
    let config = Config {
        client: client().await?,
        serving_namespace: args.serving_namespace,
        name: own_name("knative", args.name)?,
        statistics: args.listen,
        autoscaler: args.autoscaler,
        peers,
        improvements: match args.like_knative {
            true => Improvements::none(),
            false => Improvements::all(),
        },
        metrics,
    };
    run(config, stop).await.map_err(anyhow::Error::from)
}

/// A host and a port, as text: the name is looked up for each connection.
fn host_and_port(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("expected a host and a port, such as knative-autoscaler:8080".to_owned()),
    }
}
