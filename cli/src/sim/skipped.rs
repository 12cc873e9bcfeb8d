//! Counts the rows that a trace's reader left out, so that they can be reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_sim::{Arrival, ArrivalSource, RevisionNames, SourceError, Traffic, Wrapper};

/// The same traffic; once it was played to its end, `count` is how many rows were left out.
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn Traffic>,
    pub(crate) count: Arc<AtomicU64>,
}

struct Source {
    inner: Box<dyn ArrivalSource + Send>,
    count: Arc<AtomicU64>,
}

impl Wrapper for Counted {
    fn inner(&self) -> &dyn Traffic {
        self.inner.as_ref()
    }

    fn play(
        &self,
        source: Box<dyn ArrivalSource + Send>,
    ) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        Ok(Box::new(Source { inner: source, count: Arc::clone(&self.count) }))
    }
}

impl ArrivalSource for Source {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        let next = self.inner.next();
        if next.is_none() {
            // Every replay of the same traffic leaves out the same rows.
            self.count.fetch_max(self.inner.skipped(), Ordering::Relaxed);
        }
        next
    }

    fn names(&self) -> &RevisionNames {
        self.inner.names()
    }

    fn skipped(&self) -> u64 {
        self.inner.skipped()
    }
}
