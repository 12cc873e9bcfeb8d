//! The binary `tidegate-kubernetes`: the subcommands that need a client of a cluster.
//!
//! It parses the command line and runs its subcommand, each a module of [`commands`], which runs
//! the library with it. It must never decide anything itself. Everything that needs no client, such
//! as `tidegate crd`, is in `tidegate`.
//!
//! Under the name `kubectl-tidegate`, such as by a link of that name, it is what kubectl runs for
//! `kubectl tidegate`.

mod commands;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use tidegate_words::with_causes;

/// The name under which kubectl finds a plugin `tidegate`.
const PLUGIN: &str = "kubectl-tidegate";

/// The part of Tidegate that needs a client of a cluster.
#[derive(Debug, Parser)]
#[command(name = "tidegate-kubernetes", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let started_as = std::env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&started_as).file_stem().is_some_and(|name| name == PLUGIN);
    // Usage and messages then name what a person types.
    let program = if is_plugin { "kubectl tidegate" } else { "tidegate-kubernetes" };
    let typed = Cli::command().bin_name(program).display_name(program).get_matches();
    let command = match Cli::from_arg_matches(&typed) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    let name = command.name();
    match command.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program} {name}: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
