//! The parts that `tidegate run` starts, and that a cluster runs one by one.

mod activator;

use std::process::ExitCode;

use clap::Subcommand;

/// One part of the system as a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The sidecar, configured by Knative's environment variables.
    QueueProxy,
    /// The front door.
    Activator(activator::Args),
    /// The autoscaler as a service.
    Controller,
}

/// Runs the role until it is told to stop.
pub(crate) fn execute(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::QueueProxy => Ok(tidegate_queue_proxy::run()),
        Role::Activator(args) => activator::execute(args),
        Role::Controller => anyhow::bail!("role {role:?} is under construction"),
    }
}
