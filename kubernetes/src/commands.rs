//! The subcommands of `tidegate-kubernetes`, and what they share: a cluster's client. Flags that
//! other programs have as well are those of `tidegate-flags`.
//!
//! A subcommand is a module of its own with its `Args` and `execute`.

pub(crate) mod controller;

use anyhow::Context;
use clap::Subcommand;

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

/// A client of the cluster that the pod's service account or a kubeconfig names.
pub(crate) async fn client() -> anyhow::Result<kube::Client> {
    let mut cluster = kube::Config::infer().await.context(
        "there is no cluster to speak to: run in a pod with a service account, or set KUBECONFIG",
    )?;
    // What is to be done is asked anew before it is tried again.
    cluster.default_retry = false;
    kube::Client::try_from(cluster).context("the cluster's address cannot be used")
}
