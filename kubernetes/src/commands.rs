//! The subcommands of `tidegate-kubernetes`, and what they share: logs and a cluster's client.
//!
//! A subcommand is a module of its own with its `Args` and `execute`.

pub(crate) mod controller;

use anyhow::Context;
use clap::Subcommand;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scale the workloads that TrafficScalers name, by the requests of their Services.
    Controller(controller::Args),
}

impl Command {
    /// What was typed, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Controller(_) => "controller",
        }
    }

    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self {
            Self::Controller(args) => controller::execute(args),
        }
    }
}

/// How processes that keep running log.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// What to log on standard error, as lines of JSON: a level, or levels by part.
    #[arg(long, value_name = "FILTER", default_value = "warn,tidegate=info")]
    log: Targets,
}

impl LogArgs {
    /// Begins to log; once a process.
    pub(crate) fn begin(&self) -> anyhow::Result<()> {
        let log = tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr);
        let subscriber = tracing_subscriber::registry().with(self.log.clone()).with(log);
        tracing::subscriber::set_global_default(subscriber).context("cannot begin to log")
    }
}

/// A client of the cluster that the pod's service account or a kubeconfig names.
pub(crate) async fn client() -> anyhow::Result<kube::Client> {
    let mut cluster = kube::Config::infer().await.context(
        "there is no cluster to speak to: run in a pod with a service account, or set KUBECONFIG",
    )?;
    // What is to be done is asked anew before it is tried again.
    cluster.default_retry = false;
    kube::Client::try_from(cluster).context("the cluster's address cannot be used")
}
