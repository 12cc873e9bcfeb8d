//! `tidegate sim`: what would other settings have done with this traffic?
//!
//! It turns arguments into a scenario and traffic, lets `tidegate-sim` run them, and writes the
//! results. It models nothing itself.
//!
//! Modules in reading order: `traffic_args`, `as_recorded` (what a recording says besides its
//! requests), `model_args`, `output` (the options, and their meaning), `observer` (progress and
//! rows while a run goes on), then one module for each verb; `live` is the real run behind
//! `validate --live`.

mod as_recorded;
mod compare;
mod fit;
mod live;
mod model_args;
mod observer;
pub(crate) mod output;
mod recommend;
mod revision_settings;
mod run;
mod skipped;
mod spooled;
mod sweep;
mod traffic;
pub(crate) mod traffic_args;
mod validate;

use std::process::ExitCode;

use clap::Subcommand;

use tidegate_flags::ending::mistyped;

/// What was typed after `tidegate sim`.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One what-if: these settings with this traffic.
    Run(Box<run::Args>),
    /// Several settings or policies on the very same arrivals.
    Compare(Box<compare::Args>),
    /// Which of many settings are worth having?
    Sweep(Box<sweep::Args>),
    /// The cheapest settings that keep what must be kept.
    Recommend(Box<recommend::Args>),
    /// Models of traffic, service times and start-ups from recordings.
    Fit(Box<fit::Args>),
    /// The simulator against exact formulas and published measurements.
    Validate(Box<validate::Args>),
    /// Look at traffic, or write it as plain CSV, without simulating anything.
    Traffic(Box<traffic::Args>),
}

/// An error that is not the fault of what was typed or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {0}")]
pub(crate) struct CannotWrite(String);

/// The simulator missed a bound of `sim validate`.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {of} checks failed{note}")]
pub(crate) struct ChecksFailed {
    failed: usize,
    of: usize,
    /// A reason for the miss that is no fault, with its leading separator; may be empty.
    note: String,
}

/// No settings meet the objectives.
#[derive(Debug, thiserror::Error)]
#[error("nothing that was tried keeps {0}")]
pub(crate) struct NothingKeeps(String);

/// Runs the verb.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let outcome = match args.verb {
        Verb::Run(args) => run::execute(&args),
        Verb::Compare(args) => compare::execute(&args),
        Verb::Sweep(args) => sweep::execute(&args),
        Verb::Recommend(args) => recommend::execute(&args),
        Verb::Fit(args) => fit::execute(&args),
        Verb::Validate(args) => validate::execute(&args),
        Verb::Traffic(args) => traffic::execute(&args),
    };
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_failure(&error) => Err(error),
        // All other errors are about settings, traffic or files that were named.
        Err(error) => Err(mistyped(error)),
    }
}

/// Whether the error is a failure of the run, not of the arguments.
fn is_failure(error: &anyhow::Error) -> bool {
    error.is::<CannotWrite>() || error.is::<ChecksFailed>() || error.is::<NothingKeeps>()
}
