//! Counts the rows that a trace's reader left out, so that they can be reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_sim::{Arrival, ArrivalSource, RevisionNames, SourceError, Traffic};

/// The same traffic; once it was played to its end, `count` is how many rows were left out.
pub(crate) struct Counted {
    pub(crate) inner: Arc<dyn Traffic>,
    pub(crate) count: Arc<AtomicU64>,
}

struct Source {
    inner: Box<dyn ArrivalSource + Send>,
    count: Arc<AtomicU64>,
}

impl Traffic for Counted {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let count = Arc::clone(&self.count);
        Ok(Box::new(Source { inner: self.inner.open()?, count }))
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let count = Arc::clone(&self.count);
        Ok(Box::new(Source { inner: self.inner.open_seeded(seed)?, count }))
    }

    fn sha256(&self) -> String {
        self.inner.sha256()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn len_hint(&self) -> Option<u64> {
        self.inner.len_hint()
    }

    fn memory_mb(&self, revision: &str) -> Option<f64> {
        self.inner.memory_mb(revision)
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
