//! `tidegate run`.

use std::process::ExitCode;

/// What was typed after `tidegate run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Does what was asked.
pub(crate) fn execute(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`run` is under construction")
}
