//! Unix time that never jumps, the same for all of a process.
//!
//! It is read once from the system and then counted, so that the periods of what is reported follow
//! each other whatever becomes of the system's clock. A controller is told what it says when a
//! stream opens, and reads the times of the stats by that.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static BEGIN: OnceLock<(i64, Instant)> = OnceLock::new();

/// Now, in milliseconds since 1970.
#[must_use]
pub fn now_unix_ms() -> i64 {
    let (unix_ms, began) = BEGIN.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (i64::try_from(since.as_millis()).unwrap_or(0), Instant::now())
    });
    unix_ms.saturating_add(i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX))
}
