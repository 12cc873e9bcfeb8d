//! `tidegate decide`: what the autoscaler would do with given numbers.
//!
//! Scenario files go in, the same scenarios come out with `expected` filled in by the very
//! libraries that run in production. Nothing is decided here: each kind of scenario has a module
//! that hands its input to a library and writes down the answer.
//!
//! In reading order: `envelope` (a scenario as it lies in a file), `fault` (what can be wrong
//! with one), `answer` (from kind and input to an answer), `number` (how results are written),
//! then the kinds: `window`, `scale`, `collector`, `pipeline`, `settings`, `kpa`,
//! `request_stats`, `subset`, `wire`.

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
mod subset;
mod window;
mod wire;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use answer::Explanations;
use envelope::Envelope;

/// The most bytes one file may have: far more than any scenario, far less than memory.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// What was typed after `tidegate decide`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files with one or more scenarios each, as JSON; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Add the reason of each decision in words, as a list named `explanations`.
    #[arg(long)]
    explain: bool,
}

/// Answers every scenario of every file. Faults go to standard error, each with its file and
/// field, and make the exit code 2; the other scenarios are answered all the same.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut faults = 0;
    for path in &args.files {
        let name = match path.as_os_str() == "-" {
            true => "<stdin>".to_owned(),
            false => path.display().to_string(),
        };
        let report = |fault: fault::Fault, number: Option<usize>| {
            let number = number.map(|number| format!(" (scenario {number})")).unwrap_or_default();
            eprintln!("tidegate decide: {name}{number}: {fault}");
        };
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("tidegate decide: {name}: {error:#}");
                faults += 1;
                continue;
            }
        };
        let (envelopes, broken) = Envelope::split(&text);
        let several = envelopes.len() > 1;
        for (index, envelope) in envelopes.into_iter().enumerate() {
            match decide(envelope, args.explain) {
                Ok(line) => {
                    if let Err(error) = writeln!(out, "{line}") {
                        return hang_up(error);
                    }
                }
                Err(fault) => {
                    report(fault, several.then_some(index + 1));
                    faults += 1;
                }
            }
        }
        if let Some(fault) = broken {
            report(fault, None);
            faults += 1;
        }
    }
    if let Err(error) = out.flush() {
        return hang_up(error);
    }
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(crate::EXIT_USAGE) })
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).context("cannot open the scenario file")?)
    };
    source
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .context("cannot read scenarios, expected UTF-8 text")?;
    anyhow::ensure!(
        text.len() as u64 <= MAX_FILE_BYTES,
        "too large, expected at most {MAX_FILE_BYTES} bytes; split it"
    );
    Ok(text)
}

fn decide(envelope: Result<Envelope, fault::Fault>, explain: bool) -> Result<String, fault::Fault> {
    let mut envelope = envelope?;
    let mut explanations = Explanations::new(explain);
    let expected = answer::answer(&envelope, &mut explanations)?;
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
    Err(error).context("cannot write the answers")
}
