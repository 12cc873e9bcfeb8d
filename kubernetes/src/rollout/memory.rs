//! What is remembered of a rollout, and how it goes on from an object and a route.

use tidegate_autoscaler::Timestamp;
use tidegate_kubernetes_objects::traffic_rollout::{RolloutPhase, RolloutRun};
use tidegate_rollout::{
    Change, Checkpoint, Order, Outcomes, Phase, Progress, Rollout, Settings, Weight,
};

use crate::rollout::object::RolloutObject;

/// What is remembered.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Which rollout it is.
    pub run: RolloutRun,
    /// Where it is.
    pub rollout: Rollout,
    /// The last change since we decide.
    pub last_change: Option<Change>,
    /// Why its route could not be set, if that was so the last time.
    pub failure: Option<String>,
    /// How it was doing, in a sentence or two.
    pub progress: String,
    /// Since when it says so.
    progress_at: Timestamp,
    /// What was wanted of it when it was last looked at.
    order: Order,
}

/// Time between two texts about the progress: each is written to the object.
const PROGRESS_EVERY_MS: u64 = 60_000;

impl Memory {
    /// Takes up a rollout of which the status is known, and what its route has; or begins it.
    pub fn take_up(
        object: &RolloutObject,
        settings: &Settings,
        route_permille: i64,
        now: Timestamp,
    ) -> (Self, Vec<Change>) {
        let Some(checkpoint) = checkpoint(object, route_permille) else {
            return Self::begin(object, settings, now);
        };
        let rollout = Rollout::resume(settings.clone(), checkpoint, now.as_millis());
        Self::of(object, rollout, None, now).follow(object, settings, now)
    }

    fn of(
        object: &RolloutObject,
        rollout: Rollout,
        last_change: Option<Change>,
        now: Timestamp,
    ) -> Self {
        let progress = Progress(&rollout).to_string();
        let (run, order) = (object.run(), object.order());
        let (failure, progress_at) = (None, now);
        Self { run, rollout, last_change, failure, progress, progress_at, order }
    }

    fn begin(object: &RolloutObject, settings: &Settings, now: Timestamp) -> (Self, Vec<Change>) {
        let (rollout, began) = Rollout::begin(settings.clone(), now.as_millis());
        let mut memory = Self::of(object, rollout, Some(began.clone()), now);
        let ordered = memory.rollout.order(now.as_millis(), memory.order);
        let ordered = memory.noted(now, ordered);
        (memory, [began].into_iter().chain(ordered).collect())
    }

    /// Follows what the object says now, and lets time pass.
    pub fn follow(
        mut self,
        object: &RolloutObject,
        settings: &Settings,
        now: Timestamp,
    ) -> (Self, Vec<Change>) {
        let before = std::mem::replace(&mut self.order, object.order());
        let phase = self.rollout.phase();
        // Only what was aborted can be let go on.
        let is_retried = phase == Phase::Aborted && self.order == Order::Run;
        if self.run != object.run() || is_retried {
            return Self::begin(object, settings, now);
        }
        self.rollout.follow(settings.clone());
        // A promotion that was wanted before the new revision was returned is none after it.
        let is_stale = before == self.order && phase == Phase::Returned;
        let ordered = match (self.order, is_stale) {
            (Order::Promote, true) => None,
            (order, _) => self.rollout.order(now.as_millis(), order),
        };
        let passed = self.rollout.tick(now.as_millis());
        let changes = [ordered, passed].map(|change| self.noted(now, change));
        if now.millis_since(self.progress_at) >= PROGRESS_EVERY_MS {
            self.tell_progress(now);
        }
        (self, changes.into_iter().flatten().collect())
    }

    /// Takes in what became of the requests of both revisions.
    pub fn observe(&mut self, now: Timestamp, stable: &Outcomes, new: &Outcomes) -> Option<Change> {
        let change = self.rollout.observe(now.as_millis(), stable, new);
        self.noted(now, change)
    }

    fn noted(&mut self, now: Timestamp, change: Option<Change>) -> Option<Change> {
        if let Some(change) = &change {
            self.last_change = Some(change.clone());
            self.tell_progress(now);
        }
        change
    }

    fn tell_progress(&mut self, now: Timestamp) {
        (self.progress, self.progress_at) = (Progress(&self.rollout).to_string(), now);
    }

    /// When time alone may change something.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        self.rollout.due_ms().map(Timestamp::from_millis).filter(|due| *due > now)
    }
}

/// Where a rollout was when another controller led it; `None` when it is another rollout, or none
/// has begun.
fn checkpoint(object: &RolloutObject, route_permille: i64) -> Option<Checkpoint> {
    let status = &object.status;
    if status.run.as_ref() != Some(&object.run()) {
        return None;
    }
    let phase = match status.phase? {
        RolloutPhase::Progressing => Phase::Progressing,
        RolloutPhase::Paused => Phase::Paused,
        RolloutPhase::Promoted => Phase::Promoted,
        RolloutPhase::Returned => Phase::Returned,
        RolloutPhase::Aborted => Phase::Aborted,
    };
    // A route is written before its status: who returned the new revision may have ended between
    // the two.
    if phase.is_open() && route_permille == 0 {
        return Some(Checkpoint { phase: Phase::Returned, weight: Weight::ZERO });
    }
    let weight = Weight::from_permille(status.permille?.into()).ok()?;
    (weight > Weight::ZERO || !phase.is_open()).then_some(Checkpoint { phase, weight })
}
