//! What is read of the state.

use std::sync::Arc;

use tidegate_rollout::Outcomes;

use crate::cold_start::ColdStart;
use crate::identity::RevisionId;
use crate::journal::DecisionRecord;
use crate::overview::{Detail, DetailQuery, Overview};
use crate::revision::Revision;
use crate::status::RevisionStatus;

use super::State;

impl State {
    /// The status of every revision.
    #[must_use]
    pub fn statuses(&self) -> Vec<RevisionStatus> {
        self.revisions.values().map(Revision::status).collect()
    }

    /// The numbers of every revision, in the order of their names: O(revisions), and no text is
    /// copied.
    #[must_use]
    pub fn overviews(&self) -> Vec<Overview> {
        self.revisions.values().map(Revision::overview).collect()
    }

    /// What there is to read of a revision; `None` if there is no such one.
    #[must_use]
    pub fn detail(&self, id: &RevisionId, query: DetailQuery) -> Option<Detail> {
        let detail = self.revisions.get(id)?.detail(query);
        Some(Detail { cold_starts: self.cold_starts(id), ..detail })
    }

    /// The last `count` decisions of a revision, newest first; `None` if there is no such revision.
    #[must_use]
    pub fn decisions(&self, id: &RevisionId, count: usize) -> Option<Vec<Arc<DecisionRecord>>> {
        Some(self.revisions.get(id)?.journal.newest(count).cloned().collect())
    }

    /// What became of a revision's requests since it was declared; `None` if there is no such one.
    #[must_use]
    pub fn outcomes(&self, id: &RevisionId) -> Option<Outcomes> {
        self.revisions.get(id).map(|revision| revision.outcomes.clone())
    }

    /// The last cold starts of a revision that activators told of, newest first.
    #[must_use]
    pub fn cold_starts(&self, id: &RevisionId) -> Vec<ColdStart> {
        self.cold_starts.newest(id)
    }

    /// Asserts that the running sums equal a fresh count.
    #[cfg(test)]
    pub(super) fn recount(&self) {
        self.revisions.values().for_each(Revision::recount);
        let instances: usize = self.revisions.values().map(|r| r.instances.len()).sum();
        assert_eq!(instances, self.instances);
        let seconds: usize = self.revisions.values().map(Revision::history_seconds).sum();
        assert_eq!(seconds, self.history_seconds);
    }

    /// Instances that this controller started and that have not ended, in any phase.
    #[must_use]
    pub fn started(&self) -> usize {
        self.started.len()
    }
}
