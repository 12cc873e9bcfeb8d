//! What is printed and not computed: `tidegate completions` and `tidegate man`, generated from the
//! same definitions as `--help`, and `tidegate crd`, generated from its types.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

use tidegate_flags::files::make_folder;

/// What was typed after `tidegate completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write them for.
    #[arg(value_name = "SHELL", value_enum, hide_possible_values = false)]
    shell: Shell,
}

/// What was typed after `tidegate man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Write a page for every verb into this directory, which is made if need be.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the completions of `command`.
pub(crate) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tidegate", &mut script);
    print(&script)
}

/// Prints the manual page of `command`, or writes those of all its verbs.
pub(crate) fn man(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let Some(directory) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        return print(&page);
    };
    make_folder("--dir", directory)?;
    let cannot_write = || format!("--dir: cannot write to {}", directory.display());
    clap_mangen::generate_to(command, directory).with_context(cannot_write)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the CustomResourceDefinitions of our kinds.
pub(crate) fn definition() -> anyhow::Result<ExitCode> {
    print(tidegate_kubernetes_objects::DEFINITIONS.join("---\n").as_bytes())
}

fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush())?;
    Ok(ExitCode::SUCCESS)
}
