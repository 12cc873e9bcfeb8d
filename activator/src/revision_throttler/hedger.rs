//! Second attempts as a request asks for them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_relay::Upstream;

use super::second_attempts::HedgeOutcome;
use super::{InFlightGuard, Instance, Permit, RevisionThrottler};

impl InFlightGuard {
    /// Takes a retry from the revision's budget. False if none is left.
    pub fn take_retry(&self) -> bool {
        self.throttler.state.lock().attempts.retries.take()
    }

    /// After how long a second instance is asked, and what asks for it; `None` where none is.
    pub(crate) fn hedger(&self) -> Option<(Duration, Hedger)> {
        let state = self.throttler.state.lock();
        let hedges = state.attempts.hedges.as_ref()?;
        let after = hedges.delay().unwrap_or(Duration::MAX);
        Some((after, Hedger { throttler: Arc::clone(&self.throttler) }))
    }
}

/// Asks for a second instance for one request.
#[derive(Debug, Clone)]
pub(crate) struct Hedger {
    throttler: Arc<RevisionThrottler>,
}

impl Hedger {
    /// The right to send a request that is at `instance` to another as well.
    pub(crate) fn permit_beside(
        &self,
        instance: &Instance,
        order: u64,
    ) -> Result<Permit, HedgeOutcome> {
        let assignment = self.throttler.state.lock().hedge(instance.id, order)?;
        Ok(self.throttler.permit(assignment))
    }

    /// A response began so long after its request was sent.
    pub(crate) fn answered(&self, after: Duration) {
        if let Some(hedges) = &mut self.throttler.state.lock().attempts.hedges {
            hedges.answered(after);
        }
    }
}

impl AsRef<Upstream> for Instance {
    fn as_ref(&self) -> &Upstream {
        self.upstream()
    }
}
