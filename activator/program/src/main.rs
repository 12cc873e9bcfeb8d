//! The activator as a program of its own, for images where every byte counts.
//!
//! It must never do anything that `tidegate activator` does not: both call the library's entry, and
//! there is nothing here to read beyond it. Read on in `lib.rs`.

use std::process::ExitCode;

use clap::Parser;
use tidegate_activator_program::Args;
use tidegate_flags::ending;

/// Holds requests while no instance can take them, and balances the rest.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

/// How the program is called in what it says.
const PROGRAM: &str = "activator";

fn main() -> ExitCode {
    let Typed { args } = Typed::parse();
    tidegate_activator_program::execute(args, PROGRAM)
        .unwrap_or_else(|error| ending::tell(PROGRAM, &error))
}
