//! The subcommands of `tidegate-kubernetes`, and what they share: signals, a cluster's client, a
//! name, a runtime and pages. Flags that other programs have as well are those of
//! `tidegate-flags`.
//!
//! A subcommand is a module of its own with its `Args` and `execute`.

mod adapters;
pub(crate) mod certificates;
pub(crate) mod controller;
mod explain;
mod foreground;
mod installation;
pub(crate) mod knative;
mod page;
mod reach;
mod status;
mod top;
pub(crate) mod webhook;

use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use tidegate_admin::{Readiness, Subject};
use tidegate_telemetry::{Family, Registry};
use tidegate_trust::secret::random_bytes;
use tokio::signal::unix::{SignalKind, signal};

/// The variable with the one namespace that an installation is for.
pub(crate) const NAMESPACE_VARIABLE: &str = "TIDEGATE_NAMESPACE";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Scale the workloads that TrafficScalers name, by the requests of their Services.
    Controller(Box<controller::Args>),
    /// Scale Knative's revisions of class tidegate.tidegate.dev, beside Knative's own autoscaler.
    Knative(knative::Args),
    /// Put the sidecar into pods that ask for it, as the API server creates them.
    Webhook(webhook::Args),
    /// Make and renew the certificates of an installation, and publish who vouches for them.
    Certificates(certificates::Args),
    /// List the TrafficScalers of a namespace or of all, with what they do and why.
    Status(status::Args),
    /// Show what is scaled live, the busiest first.
    Top(top::Args),
    /// Say what a TrafficScaler does, and the last decisions with their reasons.
    Explain(explain::Args),
}

impl Command {
    /// The command line, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Controller(_) => "controller",
            Self::Knative(_) => "knative",
            Self::Webhook(_) => "webhook",
            Self::Certificates(_) => "certificates",
            Self::Status(_) => "status",
            Self::Top(_) => "top",
            Self::Explain(_) => "explain",
        }
    }

    pub(crate) fn execute(self) -> anyhow::Result<()> {
        match self {
            Self::Controller(args) => controller::execute(*args),
            Self::Knative(args) => knative::execute(args),
            Self::Webhook(args) => webhook::execute(args),
            Self::Certificates(args) => certificates::execute(args),
            Self::Status(args) => status::execute(args),
            Self::Top(args) => top::execute(args),
            Self::Explain(args) => explain::execute(args),
        }
    }
}

/// Returns at the first signal to stop. The signals are caught from its call on, and SIGHUP, which
/// has files looked at again.
pub(crate) fn stopped() -> anyhow::Result<impl Future<Output = ()>> {
    tidegate_trust::rereads::follow_hangups().context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A client of the cluster that the pod's service account or a kubeconfig names.
pub(crate) async fn client() -> anyhow::Result<kube::Client> {
    let mut cluster = kube::Config::infer().await.context(
        "there is no cluster to speak to: run in a pod with a service account, or set KUBECONFIG",
    )?;
    // The reconciler plans anew before an action is tried again.
    cluster.default_retry = false;
    kube::Client::try_from(cluster).context("the cluster's address cannot be used")
}

/// The name that was given, or one that no other process has: two of one name would both believe to
/// hold the Lease.
pub(crate) fn own_name(role: &str, given: Option<String>) -> anyhow::Result<String> {
    if let Some(name) = given {
        return Ok(name);
    }
    let random = random_bytes::<8>().context("the system gives no random numbers")?;
    Ok(format!("{role}-{:016x}", u64::from_be_bytes(random)))
}

/// Runs a role to its end, with a thread for each core.
pub(crate) fn on_every_core(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(role)
}

/// Metrics, and a readiness that begins with the process: for roles that serve as soon as they
/// listen.
pub(crate) struct AlwaysReady(pub(crate) Arc<Registry>);

impl Subject for AlwaysReady {
    async fn gather(&self) -> Vec<Family> {
        self.0.gather()
    }

    async fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}
