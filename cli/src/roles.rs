//! The parts that `tidegate run` starts, and that a cluster runs one by one.

mod controller;
mod view;
mod webhook;

use std::process::ExitCode;

use clap::Subcommand;
use tidegate_flags::LogArgs;

/// One part of the system as a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The sidecar, configured by Knative's environment variables.
    #[command(after_long_help = tidegate_queue_proxy::environment::help::variables())]
    QueueProxy(QueueProxyArgs),
    /// The activator: holds requests while no instance can take them, and balances the rest.
    Activator(Box<tidegate_activator_program::Args>),
    /// The autoscaler as a service.
    Controller(Box<controller::Args>),
    /// A view of several sites: controllers that it dials, and those that call it.
    View(Box<view::Args>),
    /// Put the sidecar into pods as a cluster makes them: a mutating admission webhook.
    Webhook(webhook::Args),
}

/// What was typed after `tidegate queue-proxy`.
#[derive(Debug, clap::Args)]
pub(crate) struct QueueProxyArgs {
    #[command(subcommand)]
    verb: Option<QueueProxyVerb>,
    #[command(flatten)]
    log: LogArgs,
}

/// What can be said to a sidecar that runs.
#[derive(Debug, Subcommand)]
enum QueueProxyVerb {
    /// Begin the drain of the sidecar in this pod: for its own hook before the pod's end.
    Drain,
}

impl Role {
    /// What was typed to get here, for messages.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Role::QueueProxy(_) => "queue-proxy",
            Role::Activator(_) => "activator",
            Role::Controller(_) => "controller",
            Role::View(_) => "view",
            Role::Webhook(_) => "webhook",
        }
    }
}

/// Runs the role until it gets a signal to stop.
pub(crate) fn execute(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::QueueProxy(args) => Ok(match args.verb {
            None => tidegate_queue_proxy::run(args.log.into_filter()),
            Some(QueueProxyVerb::Drain) => tidegate_queue_proxy::begin_drain(),
        }),
        Role::Activator(args) => tidegate_activator_program::execute(*args, "tidegate activator"),
        Role::Controller(args) => controller::execute(*args),
        Role::View(args) => view::execute(*args),
        Role::Webhook(args) => webhook::execute(args),
    }
}
