//! The parts that `tidegate run` starts, and that a cluster runs one by one.

mod activator;
mod controller;

use std::process::ExitCode;

use clap::Subcommand;

/// The variable that says where a role listens.
const LISTEN_VARIABLE: &str = "TIDEGATE_LISTEN";

/// One part of the system as a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The sidecar, configured by Knative's environment variables.
    #[command(after_long_help = tidegate_queue_proxy::environment::help::variables())]
    QueueProxy,
    /// The activator: holds requests while no instance can take them, and balances the rest.
    Activator(activator::Args),
    /// The autoscaler as a service.
    Controller(controller::Args),
}

impl Role {
    /// What was typed to get here, for messages.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Role::QueueProxy => "queue-proxy",
            Role::Activator(_) => "activator",
            Role::Controller(_) => "controller",
        }
    }
}

/// Runs the role until it gets a signal to stop.
pub(crate) fn execute(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::QueueProxy => Ok(tidegate_queue_proxy::run()),
        Role::Activator(args) => activator::execute(args),
        Role::Controller(args) => controller::execute(args),
    }
}
