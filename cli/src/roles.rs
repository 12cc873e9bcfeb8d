//! The parts that `tidegate run` starts, and that a cluster runs one by one.

mod activator;
mod controller;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use tidegate_controller::process::{RunId, guard, leash};

/// Exit code for a program that cannot be started, as shells have it.
const EXIT_NOT_STARTED: u8 = 127;

/// One part of the system as a process of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// The sidecar, configured by Knative's environment variables.
    #[command(after_long_help = tidegate_queue_proxy::environment::help::variables())]
    QueueProxy,
    /// The front door.
    Activator(activator::Args),
    /// The autoscaler as a service.
    Controller(controller::Args),
    /// Ends the processes of a run that died; started by `run` itself, under a name of its own.
    #[command(hide = true)]
    Watchman {
        /// The mark of the run's processes.
        run: String,
    },
    /// Becomes an app that ends with its parent; started by `run` itself.
    #[command(hide = true)]
    Launch {
        /// Process id of the parent.
        parent: u32,
        /// The app.
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
        command: Vec<OsString>,
    },
}

// === impl Role ===

impl Role {
    /// What was typed to get here, for messages.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Role::QueueProxy => "queue-proxy",
            Role::Activator(_) => "activator",
            Role::Controller(_) => "controller",
            Role::Watchman { .. } => "watchman",
            Role::Launch { .. } => "launch",
        }
    }
}

/// Runs the role until it is told to stop.
pub(crate) fn execute(role: Role) -> anyhow::Result<ExitCode> {
    match role {
        Role::QueueProxy => {
            leash::follow_parent().context("cannot follow the process that started it")?;
            Ok(tidegate_queue_proxy::run())
        }
        Role::Activator(args) => activator::execute(args),
        Role::Watchman { run } => {
            guard::take_name();
            // A guard that can be hung up on guards all the same.
            let _deaf = guard::outlive_hangups();
            let run = RunId::parse(&run).context("the guard needs the id of a run")?;
            guard::stand(&run, &mut std::io::stdin().lock());
            Ok(ExitCode::SUCCESS)
        }
        Role::Launch { parent, command } => {
            let error = leash::run_tied(parent, &command);
            let program = command.first().map(|program| program.to_string_lossy());
            eprintln!("{} cannot be started: {error}", program.unwrap_or_default());
            Ok(ExitCode::from(EXIT_NOT_STARTED))
        }
        Role::Controller(args) => controller::execute(args),
    }
}
