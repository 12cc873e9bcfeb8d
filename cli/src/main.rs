//! The one binary people type.
//!
//! It parses what was typed, hands it to the module of the verb, and turns the outcome into an exit
//! code. It decides nothing about scaling or traffic: that lives in the crates below it.
//!
//! Modules in reading order: [`run`] and [`demo`] serve real processes on this machine, [`decide`]
//! and [`explain`] answer questions about decisions, [`sim`] answers what-if questions about
//! traffic, [`roles`] are the parts that `run` starts and that a cluster runs one by one,
//! [`credentials`] is what a command shows to a controller.

mod credentials;
mod decide;
mod demo;
mod explain;
mod roles;
mod run;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Request-driven autoscaling you can put anywhere.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve any command that listens on $PORT, from zero to many instances and back.
    Run(run::Args),
    /// Watch a bundled app scale with a minute of generated traffic.
    Demo(demo::Args),
    /// Fill in what the autoscaler decides for given numbers.
    Decide(decide::Args),
    /// Ask a running controller why it decided what it decided.
    Explain(explain::Args),
    /// Replay traffic through the same code that runs in production.
    Sim(sim::Args),
    #[command(flatten)]
    Role(roles::Role),
}

/// Exit code for a command line or input that cannot be understood, as clap uses for its own.
pub(crate) const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(args) => run::execute(args),
        Command::Demo(args) => demo::execute(args),
        Command::Decide(args) => decide::execute(args),
        Command::Explain(args) => explain::execute(args),
        Command::Sim(args) => sim::execute(args),
        Command::Role(role) => roles::execute(role),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tidegate: {error:#}");
        ExitCode::FAILURE
    })
}
