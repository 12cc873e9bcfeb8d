//! Policies that the embedding program brings along.

use std::fmt;
use std::sync::Arc;

use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::{Policy, Timestamp};

/// A factory of policies that the embedding program implements.
pub trait CustomPolicy: Send + Sync {
    /// Its name in logs.
    fn name(&self) -> &str;

    /// A fresh policy that decides at `now` for the first time, with `ready` instances. `history`
    /// is the past that reporters remember, oldest first; it is empty when the policy replaces
    /// another one.
    ///
    /// Two are created for a revision: the first before the past is known, and it decides nothing.
    /// Where requests wait before all of the past is known, one is created for each decision about
    /// them, of what is known by then.
    fn policy(
        &self,
        now: Timestamp,
        ready: u32,
        history: &[HistoryEntry],
    ) -> Box<dyn Policy + Send>;

    /// Seconds of the past that it uses, which reporters are directed to remember.
    fn history_seconds(&self) -> u32 {
        1
    }
}

/// A [`CustomPolicy`] as a declaration holds it. Two are equal when they are the same one, so that
/// a revision that is declared again with it keeps what its policy remembers.
#[derive(Clone)]
pub struct Custom(Arc<dyn CustomPolicy>);

impl Custom {
    /// Wraps `policy` for a declaration.
    pub fn new(policy: impl CustomPolicy + 'static) -> Self {
        Self(Arc::new(policy))
    }
}

impl std::ops::Deref for Custom {
    type Target = dyn CustomPolicy;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Custom").field(&self.name()).finish()
    }
}
