//! Gives new instances without a limit their requests little by little. What they may have is
//! [`tidegate_admission::SlowStart`]'s to say.

use std::sync::Weak;

use tidegate_admission::slow_start::SLOW_START_STEP;
use tokio::time::{MissedTickBehavior, interval};

use super::RevisionThrottler;

/// Brings what the new instances may have up to date, until none is new any more.
pub(super) async fn follow(throttler: Weak<RevisionThrottler>) {
    let mut steps = interval(SLOW_START_STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        let Some(throttler) = throttler.upgrade() else { return };
        let now = throttler.now();
        let stepped = throttler.state.lock().step_slow_starts(now);
        let Some(deliveries) = stepped else { return };
        throttler.deliver(deliveries);
    }
}
