//! The `tidegate` binary: one verb for each use.
//!
//! It parses what was typed, hands it to the module of the verb, and turns the outcome into an exit
//! code. It decides nothing about scaling or traffic: that lives in the crates below it.
//!
//! Modules in reading order: [`run`], [`up`] and [`demo`] serve real processes on this machine,
//! [`check`] and [`init`] are about the file of `up`, [`decide`] and [`explain`] answer questions
//! about decisions, [`route`] about routes, [`operate`] shows and orders what runs on this machine,
//! [`sim`] answers what-if questions about traffic, [`replay`] sends it to a real server,
//! [`inject`] puts the sidecar into manifests, [`roles`] are the parts that `run` starts and that a
//! cluster runs one by one, [`token`] makes what lets somebody take part. What all of them share:
//! [`command_line`] reads what was typed, [`typed`] turns it into values, [`foreground`] has flags
//! of several verbs, [`reach`] finds the controller that is asked, [`sites_file`] asks several,
//! [`mod@page`] shows a controller in a browser, [`services_file`] follows a file,
//! [`rollout_state`] keeps one of rollouts.
//! [`examples`] end each verb's help, [`manual`] makes completions and manual pages and prints the
//! definition that a cluster is given, [`log`] sets up the log of the roles.

mod chart;
mod check;
mod check_rules;
mod command_line;
mod decide;
mod demo;
mod examples;
mod explain;
mod foreground;
mod init;
mod inject;
mod keep;
mod log;
mod manual;
mod operate;
mod page;
mod reach;
mod replay;
mod roles;
mod rollout_state;
mod route;
mod run;
mod services_file;
mod sim;
mod sites_file;
mod terminal;
mod token;
mod typed;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tidegate_flags::ending;

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
    /// Serve several services, as a file says that is followed when it changes.
    Up(up::Args),
    /// Check a file of services, or print the schema of such files.
    Check(check::Args),
    /// Write a first file of services, from what is found.
    Init(init::Args),
    /// Watch a bundled app scale with a minute of generated traffic.
    Demo(demo::Args),
    #[command(flatten)]
    Operate(operate::Verb),
    /// Fill in what the autoscaler decides for given numbers.
    Decide(decide::Args),
    /// Ask a running controller why it decided what it decided.
    Explain(explain::Args),
    /// Ask a running controller where its routes lead, and order their rollouts.
    Route(route::Args),
    /// Replay traffic through the same code that runs in production.
    Sim(sim::Args),
    /// Send a trace, or generated traffic, against anything that speaks HTTP.
    Replay(replay::Args),
    /// Put the sidecar into Kubernetes manifests, from standard input to standard output.
    Inject(inject::Args),
    #[command(flatten)]
    Role(roles::Role),
    /// Make a token of a controller's secret that lets its holder do one thing.
    Token(token::Args),
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
        Command::Up(args) => up::execute(args),
        Command::Check(args) => check::execute(args),
        Command::Init(args) => init::execute(&args),
        Command::Demo(args) => demo::execute(args),
        Command::Operate(operate) => operate::execute(operate),
        Command::Decide(args) => decide::execute(args),
        Command::Explain(args) => explain::execute(args),
        Command::Route(args) => route::execute(args),
        Command::Sim(args) => sim::execute(args),
        Command::Replay(args) => replay::execute(args),
        Command::Inject(args) => inject::execute(&args),
        Command::Role(role) => roles::execute(role),
        Command::Token(args) => token::execute(&args),
        Command::Crd => manual::definition(),
        Command::Completions(args) => manual::completions(&args, command_line::command::<Cli>()),
        Command::Man(args) => manual::man(&args, command_line::command::<Cli>()),
    };
    outcome.unwrap_or_else(|error| ending::tell(&format!("tidegate {verb}"), &error))
}

impl Command {
    /// What was typed to get here, for messages.
    fn verb(&self) -> &'static str {
        match self {
            Command::Run(_) => "run",
            Command::Up(_) => "up",
            Command::Check(_) => "check",
            Command::Init(_) => "init",
            Command::Demo(_) => "demo",
            Command::Operate(operate) => operate.verb(),
            Command::Decide(_) => "decide",
            Command::Explain(_) => "explain",
            Command::Route(_) => "route",
            Command::Sim(_) => "sim",
            Command::Replay(_) => "replay",
            Command::Inject(_) => "inject",
            Command::Role(role) => role.verb(),
            Command::Token(_) => "token",
            Command::Crd => "crd",
            Command::Completions(_) => "completions",
            Command::Man(_) => "man",
        }
    }
}
