//! Probes ejected instances and readmits them, so that no request is spent on finding out.

use std::sync::Weak;
use std::time::Duration;

use tidegate_admission::InstanceId;
use tokio::time::{Instant, timeout_at};

use super::backend::Backend;
use super::ejection::{FIRST_EJECTION, Need, PROBE_TIMEOUT, Unreachable, eager_timeout};
use super::{RevisionThrottler, sidecar_probe};

/// Probes an instance that could not be reached until it can be, or is no longer listed.
pub(super) async fn recover(
    throttler: Weak<RevisionThrottler>,
    instance: InstanceId,
    (how, out_for): (Unreachable, Duration),
) {
    let wanted = match how {
        Unreachable::Refused | Unreachable::Silent => SignOfLife::Connection,
        Unreachable::AppRefused => SignOfLife::ReadyApp,
    };
    until_alive(throttler, instance, wanted, out_for).await;
}

/// Leaves an instance alone that can be reached, and asks afterwards whether it still can be.
pub(super) async fn rest(
    throttler: Weak<RevisionThrottler>,
    instance: InstanceId,
    out_for: Duration,
) {
    until_alive(throttler, instance, SignOfLife::Connection, out_for).await;
}

async fn until_alive(
    throttler: Weak<RevisionThrottler>,
    instance: InstanceId,
    wanted: SignOfLife,
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
        let how = match wanted.seen(&backend, limit).await {
            Ok(took) => {
                throttler.readmit(instance, took);
                return;
            }
            Err(how) => how,
        };
        let out_for = match need.pause() {
            Some(pause) => {
                eager_probes += 1;
                pause
            }
            None => {
                eager_probes = 0;
                throttler.failed_again(instance, how)
            }
        };
        due = Instant::now() + out_for;
    }
}

/// What an ejected instance is to show before it is sent requests again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignOfLife {
    /// That it accepts connections.
    Connection,
    /// That its sidecar calls its app ready.
    ReadyApp,
}

impl SignOfLife {
    /// Whether it shows that within `limit`: how long a connection took, or what is missing.
    async fn seen(self, backend: &Backend, limit: Duration) -> Result<Duration, Unreachable> {
        let took = backend.upstream.reach(limit).await.map_err(|error| {
            tracing::debug!(instance = &*backend.name, %error, "an instance is still unreachable");
            Unreachable::of(&error).unwrap_or(Unreachable::Refused)
        })?;
        if self == Self::ReadyApp && !sidecar_probe::finds_ready(backend, limit).await {
            tracing::debug!(instance = &*backend.name, "the app of an instance is not ready");
            return Err(Unreachable::AppRefused);
        }
        Ok(took)
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
