//! Connections that are held for instances that others choose.

use std::sync::Arc;

use super::RevisionThrottler;

impl RevisionThrottler {
    /// A connection of the revision is held until an instance is there that others choose; until
    /// the guard is dropped it counts as a request that waits. Whose connection it becomes then
    /// counts it: the sidecar beside that instance.
    pub fn hold_connection(self: &Arc<Self>) -> HeldConnection {
        let now = self.now();
        if self.state.lock().hold_connection(now) {
            self.queue_formed.notify_one();
        }
        HeldConnection { throttler: Arc::clone(self) }
    }
}

/// A connection that is held, counted for as long as this lives.
#[derive(Debug)]
pub struct HeldConnection {
    throttler: Arc<RevisionThrottler>,
}

impl Drop for HeldConnection {
    fn drop(&mut self) {
        let now = self.throttler.now();
        let watchers = self.throttler.state.lock().release_connection(now);
        RevisionThrottler::wake(watchers);
    }
}
