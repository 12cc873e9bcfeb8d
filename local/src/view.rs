//! A handle for reading how a service does.

use std::sync::Arc;
use std::time::Duration;

use tidegate_activator::throttler::Throttler;
use tidegate_activator::{OutcomeCounter, Outcomes, RevisionName};
use tidegate_controller::status::RevisionStatus;
use tidegate_controller::{Ended, Handle, RevisionId};

/// Time between two polls of [`View::wait_until`].
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A handle for reading a service's status, also while the service drains.
#[derive(Clone)]
pub struct View {
    pub(crate) revision: RevisionId,
    pub(crate) handle: Handle,
    pub(crate) throttlers: Arc<Throttler>,
    pub(crate) outcomes: Arc<OutcomeCounter>,
    pub(crate) waiting_max: u32,
}

/// The state of a service.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// As the controller has it; up to a second old.
    pub revision: RevisionStatus,
    /// As the activator has it, now.
    pub activator: tidegate_activator::Status,
    /// Requests so far, by outcome.
    pub outcomes: Outcomes,
    /// Requests that may wait for an instance at a time; more are refused.
    pub waiting_max: u32,
}

impl View {
    /// The present state.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn status(&self) -> Result<Status, Ended> {
        let statuses = self.handle.statuses().await?;
        // Declared before `start` returned: it is missing only once the controller has ended.
        self.status_among(&statuses).ok_or(Ended)
    }

    /// The present state, of which the controller's part is among these; `None` where it is not.
    #[must_use]
    pub fn status_among(&self, statuses: &[RevisionStatus]) -> Option<Status> {
        let revision = statuses.iter().find(|status| status.revision == self.revision)?.clone();
        let throttler = self.throttlers.of(&revision_name(&self.revision));
        Some(Status {
            revision,
            activator: throttler.map(|throttler| throttler.status()).unwrap_or_default(),
            outcomes: self.outcomes.snapshot(),
            waiting_max: self.waiting_max,
        })
    }

    /// The same of another revision of the same controller and activator.
    #[must_use]
    pub fn of(&self, revision: RevisionId) -> Self {
        Self { revision, ..self.clone() }
    }

    /// The revision that it is of.
    #[must_use]
    pub fn revision(&self) -> &RevisionId {
        &self.revision
    }

    /// The controller: the status of every revision, routes, and orders for their rollouts.
    pub fn controller(&self) -> &Handle {
        &self.handle
    }

    /// Waits until `is_so` holds of the state, polled every 20 ms. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn wait_until(&self, is_so: impl Fn(&Status) -> bool) -> Result<Status, Ended> {
        loop {
            let status = self.status().await?;
            if is_so(&status) {
                return Ok(status);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

pub(crate) fn revision_name(revision: &RevisionId) -> RevisionName {
    RevisionName { namespace: revision.namespace().to_owned(), name: revision.name().to_owned() }
}
