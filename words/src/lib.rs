//! Text that people type and read, where the whole workspace must have the same rule.
//!
//! It must never decide anything, open anything, allocate without a bound or depend on another
//! crate: it is text in, text or a number out, so that any crate may use it.
//!
//! Modules in reading order: [`time`] reads times such as `1m30s`, [`number`] puts a noun behind
//! one, [`near`] finds the known name that was most likely meant, [`mod@excerpt`] quotes foreign
//! text within a bound, [`causes`] is an error in one line, [`shell`] quotes for a command line.

pub mod causes;
pub mod excerpt;
pub mod near;
pub mod number;
pub mod shell;
pub mod time;

pub use causes::with_causes;
pub use excerpt::{excerpt, shorten};
pub use near::{choose, did_you_mean, list, nearest};
pub use number::counted;
pub use shell::shell_word;
pub use time::{NotATime, parse_duration, parse_seconds};
