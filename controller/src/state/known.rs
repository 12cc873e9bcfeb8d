//! What an activator knows that connects to a controller which does not know it yet.

use tidegate_autoscaler::Timestamp;

use super::State;
use crate::event::Effect;
use crate::identity::{ReporterId, RevisionId};

impl State {
    /// What an activator knows that was told by a controller before this one.
    pub(super) fn known(
        &mut self,
        now: Timestamp,
        reporter: ReporterId,
        instances: Vec<(RevisionId, u32)>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.activators.contains(&reporter) {
            return;
        }
        let most = u32::try_from(self.limits.instances_per_revision).unwrap_or(u32::MAX);
        for (id, count) in instances {
            self.with(now, &id, effects, |revision, _| revision.activator_knows(count.min(most)));
        }
    }
}
