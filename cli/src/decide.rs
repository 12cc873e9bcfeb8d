//! `tidegate decide`: what the autoscaler would do with given numbers.
//!
//! Scenario files go in, the same scenarios come out with `expected` filled in by the very
//! libraries that run in production. Nothing is decided here, nor is a scenario interpreted:
//! `source` reads files, and `tidegate-scenario` evaluates them.

mod source;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::value::to_raw_value;
use tidegate_scenario::{Explains, Interpreter, Rules, Scenario, UnknownField};

use source::{Source, SourceError};

use tidegate_flags::ending::EXIT_USAGE;

/// Most fields of one scenario that are warned of by name: a name that is misspelt in one tick is
/// most likely misspelt in all of them.
const WARNINGS_MAX: usize = 10;

/// What was typed after `tidegate decide`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files with one or more scenarios each, as JSON; `-` reads standard input. A YAML or TOML
    /// file is taken for settings, such as a `config-autoscaler` manifest, and becomes a scenario
    /// of the kind `config`.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Add the reason of each decision in words, as a list named `explanations`.
    #[arg(long)]
    explain: bool,
    /// Decide as Tidegate's own modes do, every improvement on and settings read strictly, instead
    /// of exactly as Knative does.
    #[arg(long)]
    tidegate: bool,
}

/// Evaluates every scenario of every file. Errors go to standard error, each with its file and
/// field, and make the exit code 2; the other scenarios are evaluated all the same.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = ExitCode::SUCCESS;
    let interpreter = Interpreter {
        rules: if args.tidegate { Rules::Tidegate } else { Rules::Knative },
        explains: if args.explain { Explains::Yes } else { Explains::No },
    };
    for path in &args.files {
        let source = Source::read(path);
        let several = source.scenarios.len() > 1;
        for (index, scenario) in source.scenarios.into_iter().enumerate() {
            let number = several.then(|| format!(" (scenario {})", index + 1));
            let place = format!("{}{}", source.name, number.unwrap_or_default());
            match scenario.and_then(|scenario| decide(scenario, interpreter, &place)) {
                Ok(line) => {
                    if let Err(error) = writeln!(out, "{line}") {
                        return hang_up(error);
                    }
                }
                Err(error) => {
                    eprintln!("tidegate decide: {place}: {error}");
                    code = ExitCode::from(EXIT_USAGE);
                }
            }
        }
    }
    match out.flush() {
        Ok(()) => Ok(code),
        Err(error) => hang_up(error),
    }
}

fn decide(
    mut scenario: Scenario,
    interpreter: Interpreter,
    place: &str,
) -> Result<String, SourceError> {
    let mut unknown = 0;
    let answer = interpreter.answer(&scenario, &mut |field| {
        unknown += 1;
        if unknown <= WARNINGS_MAX {
            warn(place, field);
        }
    })?;
    if let Some(more @ 1..) = unknown.checked_sub(WARNINGS_MAX) {
        eprintln!("tidegate decide: warning: {place}: {more} more fields were ignored");
    }
    scenario.set("expected", answer.expected);
    if let Some(explanations) = answer.explanations {
        let explanations = to_raw_value(&explanations).map_err(io::Error::from)?;
        scenario.set("explanations", explanations);
    }
    Ok(scenario.to_line())
}

/// A field that its kind does not have is no error, so that files may carry remarks.
fn warn(place: &str, field: &UnknownField) {
    eprintln!("tidegate decide: warning: {place}: {field}");
}

/// A reader that closes our output early, such as `head`, is no failure.
fn hang_up(error: io::Error) -> anyhow::Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(error).context("cannot write the answers")
}
