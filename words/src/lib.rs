//! What people type and read, where every part of the workspace must have the same rule.
//!
//! Nothing here decides, opens or allocates without a bound, and nothing depends on anything else:
//! it is text in, text or a number out, so that any crate may use it.
//!
//! Modules in reading order: [`time`] reads times such as `1m30s`, [`near`] finds the known name
//! that somebody most likely meant, [`mod@excerpt`] quotes what others wrote within a bound.

pub mod excerpt;
pub mod near;
pub mod time;

pub use excerpt::{excerpt, shorten};
pub use near::{choose, did_you_mean, list, nearest};
pub use time::{NotATime, parse_duration, parse_seconds};
