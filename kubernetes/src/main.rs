//! The binary `tidegate-kubernetes`: the subcommands that need a client of a cluster.
//!
//! It parses the command line and runs its subcommand, each a module of [`commands`], which runs
//! the library with it. It must never decide anything itself. Everything that needs no client, such
//! as `tidegate crd`, is in `tidegate`.

mod commands;

use std::process::ExitCode;

use clap::Parser;

/// The part of Tidegate that needs a client of a cluster.
#[derive(Debug, Parser)]
#[command(name = "tidegate-kubernetes", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let name = command.name();
    match command.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidegate-kubernetes {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
