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
use tidegate_scenario::{Explains, Interpreter, Rules, Scenario};
use tidegate_words::excerpt;

use source::{Source, SourceError};

use crate::ending::EXIT_USAGE;

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
            match scenario.and_then(|scenario| decide(scenario, interpreter)) {
                Ok(line) => {
                    if let Err(error) = writeln!(out, "{line}") {
                        return hang_up(error);
                    }
                }
                Err(error) => {
                    let number = several.then(|| format!(" (scenario {})", index + 1));
                    let number = number.unwrap_or_default();
                    eprintln!("tidegate decide: {}{number}: {error}", source.name);
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

fn decide(mut scenario: Scenario, interpreter: Interpreter) -> Result<String, SourceError> {
    let answer = interpreter.answer(&scenario, &mut warn_of_unknown)?;
    scenario.set("expected", answer.expected);
    if let Some(explanations) = answer.explanations {
        let explanations = to_raw_value(&explanations).map_err(io::Error::from)?;
        scenario.set("explanations", explanations);
    }
    Ok(scenario.to_line())
}

/// A field that the kind does not have is most likely misspelt, which would silently count as
/// zero: worth a warning, but no error, so that files may carry remarks.
fn warn_of_unknown(field: &str) {
    let field = excerpt(field);
    eprintln!("tidegate decide: warning: {field} is no field of this kind; ignored");
}

/// A reader that closes our output early, such as `head`, is no failure.
fn hang_up(error: io::Error) -> anyhow::Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(error).context("cannot write the answers")
}
