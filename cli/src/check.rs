//! `tidegate check`: whether a file of services can be followed here, and what editors are told of
//! such files; and what rules for metrics do.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::check_rules::{self, RulesArgs};
use crate::explain::print;
use crate::services_file::{ServicesFile, USUAL, Unusable, ignored_in, in_file};
use crate::terminal::counted;
use tidegate_flags::ending::{EXIT_USAGE, mistyped};

/// What was typed after `tidegate check`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file: of services, or a manifest with Knative's Services (.yaml).
    #[arg(value_name = "FILE", default_value = USUAL)]
    file: PathBuf,
    /// Print the JSON schema of such files instead, for editors.
    #[arg(long)]
    schema: bool,
    #[command(flatten)]
    rules: RulesArgs,
}

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    if args.schema {
        let schema = serde_json::to_string_pretty(&tidegate_services::schema())?;
        return print(&[schema]).map(|()| ExitCode::SUCCESS);
    }
    if let Some(path) = &args.rules.rules {
        return check_rules::execute(path, &args.rules);
    }
    let mut file = ServicesFile::new(args.file);
    let contents = match file.read_and_check() {
        Ok(contents) => contents,
        Err(Unusable::Wrong(path, errors)) => {
            // All of them, each on a line of its own that editors can follow.
            for error in &errors {
                eprintln!("{}", in_file(&path, error));
            }
            return Ok(ExitCode::from(EXIT_USAGE));
        }
        Err(unread) => return Err(mistyped(unread)),
    };
    let mut lines: Vec<String> =
        contents.ignored.iter().map(|ignored| ignored_in(file.path(), ignored)).collect();
    let count = counted(contents.services.services.len() as u64, "service");
    lines.push(format!("{}: {count}, nothing is wrong", file.path().display()));
    print(&lines).map(|()| ExitCode::SUCCESS)
}
