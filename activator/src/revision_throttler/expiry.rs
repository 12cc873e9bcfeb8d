//! Refuses the requests that have waited for too long: one task and one timer for all that wait for
//! a revision, however many they are.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::RevisionThrottler;

/// When the next request has waited for too long.
enum Next {
    At(Instant),
    /// Those that wait may wait for ever.
    Never,
}

/// Refuses requests when their time is up, until none waits any more. `changed` tells of a request
/// whose time is up earlier than was known.
async fn follow(throttler: Weak<RevisionThrottler>, changed: Arc<Notify>) {
    // Not held while it sleeps: the revision may go meanwhile.
    while let Some(next) = throttler.upgrade().and_then(|throttler| throttler.expire_and_next()) {
        match next {
            Next::Never => changed.notified().await,
            Next::At(when) => tokio::select! {
                () = sleep_until(when) => {}
                () = changed.notified() => {}
            },
        }
    }
}

impl RevisionThrottler {
    /// Begins to refuse those whose time is up.
    pub(super) fn follow_expiry(self: &Arc<Self>) {
        tokio::spawn(follow(Arc::downgrade(self), Arc::clone(&self.deadlines_changed)));
    }

    /// Refuses those whose time is up. `None` when nobody waits, so that nothing is to be followed
    /// until somebody does.
    fn expire_and_next(&self) -> Option<Next> {
        self.expire();
        let deadline = self.state.lock().next_deadline()?;
        Some(self.instant_of(deadline).map_or(Next::Never, Next::At))
    }
}
