//! The clock of whoever owns a state: read once from the system, then counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_autoscaler::Timestamp;
use tokio::time::Instant;

/// Unix time that never jumps: read once from the system, then counted by the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    unix_ms: i64,
    started: Instant,
}

impl Clock {
    /// It is now what the system's clock says.
    #[must_use]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(0);
        Self { unix_ms, started: Instant::now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(self.unix_ms).plus_millis(elapsed)
    }

    /// The same as the system's time has it, for what others count by that, such as when a token
    /// expires.
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        let unix_ms = u64::try_from(self.now().as_millis()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(unix_ms)
    }

    /// When the runtime's clock gets to `at`; the start if that is before.
    #[must_use]
    pub fn instant(&self, at: Timestamp) -> Instant {
        let since_start = at.millis_since(Timestamp::from_millis(self.unix_ms));
        self.started + Duration::from_millis(since_start)
    }
}
