//! The `tidegate` binary: one verb for each use.
//!
//! It parses what was typed, hands it to the module of the verb, and turns the outcome into an exit
//! code. It decides nothing about scaling or traffic: that lives in the crates below it.
//!
//! Modules in reading order: [`run`] and [`demo`] serve real processes on this machine, [`decide`]
//! and [`explain`] answer questions about decisions, [`sim`] answers what-if questions about
//! traffic, [`inject`] puts the sidecar into manifests, [`roles`] are the parts that `run` starts
//! and that a cluster runs one by one. What all of them share: [`command_line`] reads what was
//! typed, [`typed`] turns it into values, [`files`] reads named files, [`ending`] has the one rule
//! of exit codes. [`examples`] end each verb's help, [`manual`] makes completions and manual pages
//! and prints the definition that a cluster is given, [`log`] sets up the log of the roles.

mod abandoned;
mod chart;
mod command_line;
mod decide;
mod demo;
mod drained;
mod ending;
mod examples;
mod explain;
mod files;
mod inject;
mod log;
mod manual;
mod roles;
mod run;
mod sim;
mod terminal;
mod typed;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Request-driven autoscaling you can put anywhere.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    long_version = env!("TIDEGATE_LONG_VERSION"),
    about,
    arg_required_else_help = true
)]
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
    /// Put the sidecar into Kubernetes manifests, from standard input to standard output.
    Inject(inject::Args),
    #[command(flatten)]
    Role(roles::Role),
    /// The definition of the kind TrafficScaler, for a cluster, on standard output.
    Crd,
    /// Completions for a shell, on standard output.
    Completions(manual::CompletionsArgs),
    /// The manual page, on standard output; or those of all verbs.
    Man(manual::ManArgs),
}

fn main() -> ExitCode {
    // A service starts this very program again, as the queue-proxy beside each instance.
    if let Some(code) = tidegate_local::roles::play() {
        return code;
    }
    let command = match command_line::parse::<Cli>() {
        Ok(cli) => cli.command,
        Err(code) => return code,
    };
    let verb = command.verb();
    let outcome = match command {
        Command::Run(args) => run::execute(args),
        Command::Demo(args) => demo::execute(args),
        Command::Decide(args) => decide::execute(args),
        Command::Explain(args) => explain::execute(args),
        Command::Sim(args) => sim::execute(args),
        Command::Inject(args) => inject::execute(&args),
        Command::Role(role) => roles::execute(role),
        Command::Crd => manual::definition(),
        Command::Completions(args) => manual::completions(&args, command_line::command::<Cli>()),
        Command::Man(args) => manual::man(&args, command_line::command::<Cli>()),
    };
    outcome.unwrap_or_else(|error| ending::tell(verb, &error))
}

impl Command {
    /// What was typed to get here, for messages.
    fn verb(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Demo(_) => "demo",
            Command::Decide(_) => "decide",
            Command::Explain(_) => "explain",
            Command::Sim(_) => "sim",
            Command::Inject(_) => "inject",
            Command::Role(role) => role.verb(),
            Command::Crd => "crd",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }
}
