//! What people reach for while services run: `ps`, `top`, `logs`, `events`, and the orders
//! `restart`, `scale` and `stop`.
//!
//! They find what runs by a socket in the runtime directory; there is no address to copy.
//!
//! Modules in reading order: [`reach`] finds services and connects, [`table`] lays out rows, [`ps`]
//! lists, [`top`] shows live, [`logs`] and [`events`] read what was and what comes, [`orders`]
//! changes something.

mod events;
mod logs;
mod orders;
mod ps;
mod reach;
mod table;
mod top;

use std::process::ExitCode;

use anyhow::Context;

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List the services that run on this machine, and how they do.
    Ps(ps::Args),
    /// Watch the services that run on this machine, live.
    Top(top::Args),
    /// Show what the instances of a service wrote.
    Logs(logs::Args),
    /// Show what happened: decisions that changed something, instances that came and went.
    Events(events::Args),
    /// Replace every instance of a service, without losing a request.
    Restart(orders::RestartArgs),
    /// Keep so many instances of a service, for a while or until told otherwise.
    Scale(orders::ScaleArgs),
    /// Let requests finish and end what runs, with its summary.
    Stop(orders::StopArgs),
}

impl Verb {
    /// What was typed to get here, for messages.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Ps(_) => "ps",
            Self::Top(_) => "top",
            Self::Logs(_) => "logs",
            Self::Events(_) => "events",
            Self::Restart(_) => "restart",
            Self::Scale(_) => "scale",
            Self::Stop(_) => "stop",
        }
    }
}

/// Runs a verb.
pub(crate) fn execute(verb: Verb) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let outcome = runtime.block_on(async {
        match verb {
            Verb::Ps(args) => ps::execute(&args).await,
            Verb::Top(args) => top::execute(&args).await,
            Verb::Logs(args) => logs::execute(&args).await,
            Verb::Events(args) => events::execute(&args).await,
            Verb::Restart(args) => orders::restart(&args).await,
            Verb::Scale(args) => orders::scale(&args).await,
            Verb::Stop(args) => orders::stop(&args).await,
        }
    });
    // A blocking read from a terminal must not delay the exit.
    runtime.shutdown_background();
    outcome
}
