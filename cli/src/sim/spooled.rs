//! Traffic from standard input, with the file it was kept in.

use std::sync::Arc;

use tempfile::TempPath;
use tidegate_sim::{Traffic, Wrapper};

/// The same traffic; the file is there for as long as this is, since traffic is read more than
/// once.
pub(crate) struct Spooled {
    pub(crate) inner: Arc<dyn Traffic>,
    pub(crate) _file: TempPath,
}

impl Wrapper for Spooled {
    fn inner(&self) -> &dyn Traffic {
        self.inner.as_ref()
    }
}
