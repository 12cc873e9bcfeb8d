//! The end of everything that was started.

use tidegate_autoscaler::Timestamp;

use super::State;
use crate::event::{Effect, StopMode};
use crate::identity::RevisionId;
use crate::notice::Notice;

impl State {
    /// Stops every instance, and starts no more.
    pub(super) fn stop(&mut self, now: Timestamp, mode: StopMode, effects: &mut Vec<Effect>) {
        self.stopping = true;
        let ids: Vec<RevisionId> = self.revisions.keys().cloned().collect();
        for id in ids {
            self.with(now, &id, effects, |revision, cx| revision.stop_all(cx, mode));
        }
        // What drains for a revision that was forgotten is to end in the same way.
        let forgotten = self.started.iter().filter(|(_, id)| !self.revisions.contains_key(id));
        let forgotten = forgotten.map(|(instance, _)| instance.clone());
        effects.extend(forgotten.map(|instance| Effect::Stop { instance, mode }));
        if self.started.is_empty() {
            effects.push(Effect::Announce(Notice::AllStopped));
        }
    }
}
