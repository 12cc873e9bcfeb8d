//! `tidegate sim`.

use std::process::ExitCode;

/// What was typed after `tidegate sim`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Does what was asked.
pub(crate) fn execute(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("`sim` is under construction")
}
