//! How long windows may be, and what becomes of one whose length changes.

use std::fmt;

use crate::time::MS_PER_SECOND;

/// The most buckets one window may have: a day of seconds, far beyond the hour that settings
/// allow, so that a wrong number is an error and not gigabytes.
pub const MAX_BUCKETS: u64 = 86_400;

/// What happens to a window's age when its length changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The window is said to have been full before, as in Knative: one that had just begun is
    /// divided by more seconds than it has.
    ForgetAge,
    /// The window goes on from where its data began.
    KeepAge,
}

/// How many buckets of a size make up a length.
pub(crate) fn bucket_count(length_ms: u64, granularity_ms: u64) -> Result<usize, WindowError> {
    let error = WindowError { length_ms, granularity_ms };
    if granularity_ms < MS_PER_SECOND as u64 || granularity_ms > i64::MAX as u64 {
        return Err(error);
    }
    match length_ms.div_ceil(granularity_ms) {
        count @ 1..=MAX_BUCKETS if length_ms <= i64::MAX as u64 => Ok(count as usize),
        _ => Err(error),
    }
}

/// A window that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowError {
    /// The length asked for, in milliseconds.
    pub length_ms: u64,
    /// The bucket size asked for, in milliseconds.
    pub granularity_ms: u64,
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowError { length_ms, granularity_ms } = self;
        write!(
            f,
            "window: {length_ms} ms in buckets of {granularity_ms} ms, expected buckets of at \
             least 1000 ms and 1 to {MAX_BUCKETS} of them"
        )
    }
}

impl std::error::Error for WindowError {}
