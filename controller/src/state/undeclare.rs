//! A revision is forgotten, with everything that refers to it.

use tidegate_autoscaler::Timestamp;

use crate::event::{Effect, StopMode, StreamRefusal};
use crate::identity::{ReporterId, RevisionId};

use super::{Peer, State};

impl State {
    /// Forgets a revision. Activators are told that it has neither instances nor ports.
    pub(super) fn undeclare(&mut self, now: Timestamp, id: &RevisionId, effects: &mut Vec<Effect>) {
        self.with(now, id, effects, |revision, cx| revision.stop_all(cx, StopMode::Drain));
        let Some(revision) = self.revisions.remove(id) else { return };
        self.instances -= revision.instances.len();
        self.history_seconds -= revision.history_seconds();
        // The numbers of decisions begin anew if it is declared again.
        self.decided.retain(|(of, _)| of != id);
        self.cold_starts.forget(id);
        for reporter in self.activators.iter().copied() {
            let last = revision.farewell();
            effects.extend(last.map(|message| Effect::Send { reporter, message }));
        }
        let is_its = |peer: &Peer| matches!(peer, Peer::Instance(of, _) if of == id);
        let its = self.reporters.iter().filter(|(_, peer)| is_its(peer));
        let its: Vec<ReporterId> = its.map(|(reporter, _)| *reporter).collect();
        for reporter in its {
            self.reporters.remove(&reporter);
            let refusal = StreamRefusal::Undeclared(id.clone());
            effects.push(Effect::Refuse { reporter, refusal });
        }
    }
}
