//! What is seen of the services at a time, and what is to be done about it.

use std::collections::BTreeMap;

use tidegate_controller::routes::RouteStatus;
use tidegate_rollout::Phase;
use tidegate_routes::RouteKind;
use tidegate_services::Template;

/// What its owner is to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Requests for this revision may come and are to wait.
    Expect(String),
    /// Run the build of a service, and say how it ended by its number.
    Build { service: String, number: u64, template: Template },
    /// Have this revision scaled, from `initial` instances on.
    Declare { service: String, revision: String, template: Template, initial: u32 },
    /// Lead requests as `Fleet::leads` says.
    Route,
    /// Drain a revision.
    Retire(String),
    /// Forget a revision.
    Forget(String),
    /// Forget one that was expected and never declared.
    Unexpect(String),
    /// Tell the person.
    Tell(String),
}

/// What is seen of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Instances that take requests.
    pub(crate) ready: u32,
    /// All instances: those that start and those that drain as well.
    pub(crate) instances: u32,
    /// Requests that wait for one.
    pub(crate) waiting: u32,
    /// Whether requests are led to it.
    pub(crate) is_routed: bool,
}

/// How far the rollout of a service is, as its route says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RolloutEnd {
    /// The new revision has everything.
    Promoted,
    /// The old one has everything again, because of this.
    Returned(String),
}

/// What is seen at a time.
pub(crate) struct Facts<'a> {
    pub(crate) now_ms: u64,
    pub(crate) revisions: &'a BTreeMap<String, Seen>,
    pub(crate) rollouts: &'a BTreeMap<String, RolloutEnd>,
}

impl Facts<'_> {
    pub(super) fn of(&self, revision: &str) -> Seen {
        self.revisions.get(revision).copied().unwrap_or_default()
    }
}

/// How the rollout of a service has ended, if it has.
pub(super) fn rollout_end(status: &RouteStatus) -> Option<(String, RolloutEnd)> {
    if !matches!(status.route.kind, RouteKind::Forward(_)) {
        return None;
    }
    let rollout = status.rollout.as_ref()?;
    let end = match rollout.phase? {
        Phase::Promoted => RolloutEnd::Promoted,
        Phase::Returned | Phase::Aborted => {
            let why = rollout.last_change.as_ref().map(|(_, why)| why.clone());
            RolloutEnd::Returned(why.unwrap_or_else(|| rollout.progress.clone()))
        }
        _ => return None,
    };
    Some((status.route.name.clone(), end))
}
