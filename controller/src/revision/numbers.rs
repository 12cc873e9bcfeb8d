//! The numbers of a revision, for those who look each second.

use tidegate_autoscaler::lifecycle::UNDECIDED;

use super::Revision;
use crate::instance::Phase;
use crate::overview::{Detail, DetailQuery, Overview, Windows};

impl Revision {
    /// Its numbers, from sums that are kept: it costs the same for any number of instances.
    pub(crate) fn overview(&self) -> Overview {
        let last = self.journal.last();
        let declared = self.declaration.lifecycle.bounds;
        let bounds = self.pinned.map_or(declared, |pinned| pinned.bounds);
        Overview {
            revision: self.id().clone(),
            desired: last.map_or(UNDECIDED, |record| record.replicas()),
            ready: self.count(Phase::Ready),
            starting: self.count(Phase::Starting) + self.count(Phase::Unready),
            draining: self.count(Phase::Draining),
            frozen: self.resting(),
            waiting: self.demand.waiting(),
            in_flight: self.demand.in_flight(),
            windows: self.measured().map(|signal| Windows {
                stable: signal.stable,
                panic: signal.panic,
                target: signal.target,
            }),
            in_panic: last.is_some_and(|record| record.in_panic()),
            is_hindered: last.is_some_and(|record| record.hindrance.is_some()),
            bounds: (bounds.min, bounds.max),
            is_pinned: self.pinned.is_some(),
            container_concurrency: self.declaration.container_concurrency,
            finished: self.outcomes.finished(),
            failed: self.outcomes.failed(),
            decisions: self.journal.written(),
        }
    }

    /// What there is to read of it, but for its cold starts.
    pub(crate) fn detail(&self, query: DetailQuery) -> Detail {
        let newer = self.journal.written().saturating_sub(query.after);
        let count = usize::try_from(newer).unwrap_or(usize::MAX).min(query.decisions_max);
        let numbers = (0..=self.journal.written()).rev();
        let newest = self.journal.newest(count).cloned();
        Detail {
            overview: self.overview(),
            declaration: self.declaration.clone(),
            decisions: numbers.zip(newest).collect(),
            instances: self
                .instances
                .all()
                .take(query.instances_max)
                .map(|instance| self.instance_status(instance))
                .collect(),
            cold_starts: Vec::new(),
        }
    }
}
