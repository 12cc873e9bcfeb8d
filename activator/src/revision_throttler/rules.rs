//! The rules of the queue, which can be changed while requests wait in it.

use std::sync::Arc;
use std::time::Duration;

use super::RevisionThrottler;
use crate::queue_rules::Rules;
use crate::request_keys::RequestKeys;

impl RevisionThrottler {
    /// Changes the bounds of its queue: how many may wait counts for requests that arrive from now
    /// on, how long also for those that wait.
    pub fn set_queue_bounds(&self, max_waiting: u32, longest_wait: Option<Duration>) {
        let now = self.now();
        if self.state.lock().dispatcher().set_queue_bounds(now, max_waiting, longest_wait) {
            self.deadlines_changed.notify_one();
        }
    }

    /// Changes whose turn it is, for those that wait as well. They keep what they came with: whose
    /// they are, and of which class, was read then.
    pub(crate) fn set_queue_rules(&self, rules: &Rules) {
        *self.keys.write() = Arc::clone(&rules.keys);
        self.state.lock().set_order(rules.order, rules.classes);
    }

    /// What its requests are ordered and placed by.
    pub(crate) fn keys(&self) -> Arc<RequestKeys> {
        Arc::clone(&self.keys.read())
    }
}
