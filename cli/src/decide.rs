//! `tidegate decide`: what the autoscaler would do with given numbers.
//!
//! Scenario files go in, the same scenarios come out with `expected` filled in by the very
//! libraries that run in production. Nothing is decided here: each kind of scenario has a module
//! that hands its input to a library and writes down the answer.
//!
//! In reading order: `source` (from files to scenarios), `envelope` (a scenario as it lies in a
//! file), `fault` (what can be wrong with one), `answer` (from kind and input to an answer),
//! `number` (how results are written), then the kinds: `window`, `scale`, `collector`,
//! `pipeline`, `settings`, `kpa`, `request_stats`, `subset`, `wire`.

mod answer;
mod collector;
mod envelope;
mod fault;
mod kpa;
mod number;
mod pipeline;
mod request_stats;
mod scale;
mod settings;
mod source;
mod subset;
mod window;
mod wire;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use answer::{Explanations, Rules};
use envelope::Envelope;
use fault::Fault;
use source::Source;

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

/// Answers every scenario of every file. Faults go to standard error, each with its file and
/// field, and make the exit code 2; the other scenarios are answered all the same.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut code = ExitCode::SUCCESS;
    let rules = if args.tidegate { Rules::Tidegate } else { Rules::Knative };
    for path in &args.files {
        let source = Source::read(path);
        let several = source.scenarios.len() > 1;
        for (index, scenario) in source.scenarios.into_iter().enumerate() {
            match scenario.and_then(|envelope| decide(envelope, rules, args.explain)) {
                Ok(line) => {
                    if let Err(error) = writeln!(out, "{line}") {
                        return hang_up(error);
                    }
                }
                Err(fault) => {
                    let number = several.then(|| format!(" (scenario {})", index + 1));
                    let number = number.unwrap_or_default();
                    eprintln!("tidegate decide: {}{number}: {fault}", source.name);
                    code = ExitCode::from(crate::EXIT_USAGE);
                }
            }
        }
    }
    match out.flush() {
        Ok(()) => Ok(code),
        Err(error) => hang_up(error),
    }
}

fn decide(mut envelope: Envelope, rules: Rules, explain: bool) -> Result<String, Fault> {
    let mut explanations = Explanations::new(explain);
    let expected = answer::answer(&envelope, rules, &mut explanations)?;
    envelope.set("expected", expected);
    if let Some(explanations) = explanations.into_json()? {
        envelope.set("explanations", explanations);
    }
    Ok(envelope.to_line())
}

/// A reader that has had enough, such as `head`, is no failure.
fn hang_up(error: io::Error) -> anyhow::Result<ExitCode> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(ExitCode::SUCCESS);
    }
    Err(error).context("tidegate decide: cannot write the answers")
}
