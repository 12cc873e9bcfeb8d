//! Probes ejected instances and readmits them, so that no request is spent on finding out.

use std::sync::Weak;
use std::time::Duration;

use tidegate_admission::InstanceId;
use tokio::time::{Instant, timeout_at};

use super::RevisionThrottler;
use super::ejection::{FIRST_EJECTION, Need, PROBE_TIMEOUT, Unreachable, eager_timeout};

/// Probes an instance until it accepts a connection, or is no longer listed.
pub(super) async fn recover(
    throttler: Weak<RevisionThrottler>,
    instance: InstanceId,
    out_for: Duration,
) {
    let mut due = Instant::now() + out_for;
    let mut eager_probes = 0;
    while let Some(throttler) = throttler.upgrade() {
        let need = until_due(&throttler, due).await;
        let Some(backend) = throttler.ejected(instance) else { return };
        let limit = match need {
            Need::None => PROBE_TIMEOUT,
            Need::Urgent { .. } => eager_timeout(eager_probes),
        };
        let error = match backend.upstream.reach(limit).await {
            Ok(took) => {
                throttler.readmit(instance, took);
                return;
            }
            Err(error) => error,
        };
        tracing::debug!(instance = &*backend.name, %error, "an instance is still unreachable");
        let out_for = match need.pause() {
            Some(pause) => {
                eager_probes += 1;
                pause
            }
            None => {
                eager_probes = 0;
                throttler.failed_again(instance, Unreachable::of(&error))
            }
        };
        due = Instant::now() + out_for;
    }
}

/// Returns at `due`, or sooner when a request waits that no other instance can take.
async fn until_due(throttler: &RevisionThrottler, mut due: Instant) -> Need {
    loop {
        // Created before the state is read, so that no notification falls in between.
        let needed = throttler.needed.notified();
        let need = throttler.state.lock().need();
        let now = Instant::now();
        if let Some(pause) = need.pause() {
            due = due.min(now + pause);
        }
        if now >= due {
            return need;
        }
        // Instances may also be removed while requests wait, which notifies nothing: check again.
        let next_check = due.min(now + FIRST_EJECTION);
        // The loop reads the state again either way.
        let _ = timeout_at(next_check, needed).await;
    }
}
