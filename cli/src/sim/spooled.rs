//! Traffic from standard input, with the file it was kept in.

use std::sync::Arc;

use tempfile::TempPath;
use tidegate_sim::{ArrivalSource, SourceError, Traffic};

/// The same traffic; the file is there for as long as this is, since traffic is read more than
/// once.
pub(crate) struct Spooled {
    pub(crate) inner: Arc<dyn Traffic>,
    pub(crate) _file: TempPath,
}

impl Traffic for Spooled {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        self.inner.open()
    }

    fn open_seeded(&self, seed: u64) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        self.inner.open_seeded(seed)
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
