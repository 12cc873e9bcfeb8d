//! Exit codes: one rule for all programs and verbs.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | what was asked for was done |
//! | 1 | it was understood and tried, and failed; or an aim that was stated was missed |
//! | 2 | what was typed, or a file that was named, cannot be understood or used |
//! | 3 | there is nothing to ask: nothing of this user runs here, or no service of that name |
//! | 130, 143 | a signal (SIGINT, SIGTERM) cut it short; ending in good order when told to is 0 |
//!
//! A reader that closes our output early, such as `head`, is no failure.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tidegate_words::{shorten, with_causes};

/// What was asked for failed, or an aim was missed.
pub const EXIT_FAILED: u8 = 1;

/// What was typed or named cannot be understood, as clap has it for its own.
pub const EXIT_USAGE: u8 = 2;

/// There is nothing to ask.
pub const EXIT_ABSENT: u8 = 3;

/// Nothing of this user runs on this machine, or nothing of the name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Absent(pub String);

/// An error in what was typed, or in a file that was named there.
#[derive(Debug)]
pub struct Mistyped(anyhow::Error);

impl fmt::Display for Mistyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_causes(self.0.as_ref()))
    }
}

impl std::error::Error for Mistyped {}

/// The same error, known to be one of typing.
pub fn mistyped(error: impl Into<anyhow::Error>) -> anyhow::Error {
    Mistyped(error.into()).into()
}

/// Prints `error` with the name of the program, such as `tidegate run`, and returns its exit code.
pub fn tell(program: &str, error: &anyhow::Error) -> ExitCode {
    if is_hang_up(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{program}: {}", shorten(&with_causes(error.as_ref())));
    let is_typing = error.chain().any(|cause| cause.is::<Mistyped>());
    let is_absent = error.chain().any(|cause| cause.is::<Absent>());
    ExitCode::from(match (is_typing, is_absent) {
        (true, _) => EXIT_USAGE,
        (_, true) => EXIT_ABSENT,
        _ => EXIT_FAILED,
    })
}

/// Whether our output has lost its reader.
fn is_hang_up(error: &anyhow::Error) -> bool {
    let mut errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    errors.any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
