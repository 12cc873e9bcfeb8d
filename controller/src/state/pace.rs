//! Which starts of the controller have turns, by [`StartTurns`].

use tidegate_autoscaler::{StartTurns, Timestamp};

use crate::event::Effect;
use crate::identity::{InstanceName, RevisionId};
use crate::revision::Revision;

/// Whose turn it is.
pub(super) type Turns = StartTurns<RevisionId, InstanceName>;

/// Takes note of what a revision did: what it starts has a turn, and what does not start any more
/// has none.
pub(super) fn note(turns: &mut Turns, now: Timestamp, revision: &Revision, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Start { instance, .. } = effect {
            turns.begin(now, revision.id().clone(), instance.clone());
        }
    }
    turns.end(revision.id(), |instance| revision.instances.is_starting(instance));
}
