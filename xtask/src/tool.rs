//! How the recipes run other programs.

use std::process::Command;

use anyhow::{Context, bail};

/// Runs a program, and shows how.
pub(crate) fn execute(command: &mut Command) -> anyhow::Result<()> {
    eprintln!("xtask: {command:?}");
    let name = name(command);
    let status = command.status().with_context(|| format!("cannot start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed ({status})");
    }
    Ok(())
}

/// What a program writes to its standard output.
pub(crate) fn printed(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let name = name(command);
    let output = command.output().with_context(|| format!("cannot start `{name}`"))?;
    if !output.status.success() {
        bail!("`{name}` failed ({})", output.status);
    }
    Ok(output.stdout)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
