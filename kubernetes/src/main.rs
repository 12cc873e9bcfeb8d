//! The binary `tidegate-kubernetes`: what of Tidegate needs a client of a cluster.
//!
//! It parses what was typed and runs that subcommand, each a module of [`commands`], which runs
//! the library with it. It must never decide anything itself. Everything that needs no client, such
//! as `tidegate crd`, is in `tidegate`.

mod commands;

use std::process::ExitCode;

use clap::Parser;

/// What of Tidegate needs a client of a cluster.
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
