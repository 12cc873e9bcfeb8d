//! Brings back instances that were left out, by looking at them: no request has to find out.

use std::sync::Weak;
use std::time::Duration;

use tidegate_admission::InstanceId;
use tokio::time::{Instant, timeout_at};

use super::RevisionThrottler;
use super::ejection::{FIRST_EJECTION, LOOK_LIMIT, Need, Unreachable, eager_limit};

/// Looks at an instance until it accepts a connection, or is wanted no more.
pub(super) async fn recover(
    door: Weak<RevisionThrottler>,
    instance: InstanceId,
    out_for: Duration,
) {
    let mut due = Instant::now() + out_for;
    let mut eager_looks = 0;
    while let Some(door) = door.upgrade() {
        let need = until_due(&door, due).await;
        let Some(place) = door.left_out(instance) else { return };
        let limit = match need {
            Need::None => LOOK_LIMIT,
            Need::Urgent { .. } => eager_limit(eager_looks),
        };
        let error = match place.upstream.reach(limit).await {
            Ok(took) => {
                door.readmit(instance, took);
                return;
            }
            Err(error) => error,
        };
        tracing::debug!(instance = &*place.name, %error, "an instance is still unreachable");
        let out_for = match need.pause() {
            Some(pause) => {
                eager_looks += 1;
                pause
            }
            None => {
                eager_looks = 0;
                door.failed_again(instance, Unreachable::of(&error))
            }
        };
        due = Instant::now() + out_for;
    }
}

/// Returns at `due`, or sooner when a request waits that nobody else can take.
async fn until_due(door: &RevisionThrottler, mut due: Instant) -> Need {
    loop {
        // Made before the look at the state, so that no news falls in between.
        let needed = door.needed.notified();
        let need = door.state.lock().need();
        let now = Instant::now();
        if let Some(pause) = need.pause() {
            due = due.min(now + pause);
        }
        if now >= due {
            return need;
        }
        // Instances also go while a line stands, which is no news of the line.
        let next_look = due.min(now + FIRST_EJECTION);
        // Time and news lead to the same questions.
        let _ = timeout_at(next_look, needed).await;
    }
}
