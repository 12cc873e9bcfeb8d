//! The first moments of a revision whose instances others start.
//!
//! Its reporters have to find this controller before they can tell it of the instances that there
//! are and of what they remember. Until all of them had the time for it, a decision is made only
//! because requests wait. It is based on less than there is to know, so it may raise what is wanted
//! and never lower it: not below what is known to be there, nor below an earlier such decision. Who
//! starts and stops instances is told so, and activators keep the instances that they know.

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::driver::Applied;
use tidegate_autoscaler::settings::ScaleBounds;

use super::told::Told;
use super::{Context, Revision};
use crate::instance::Phase;

impl Revision {
    /// Whether reporters may not have told of all instances yet.
    pub(super) fn is_learning(&self) -> bool {
        self.learning.is_some() && self.declaration.launch.is_none()
    }

    /// Whether reporters still have time to tell of more.
    pub(super) fn is_early(&self, now: Timestamp) -> bool {
        self.learning.is_some() && now < self.warm_at
    }

    /// Seconds of the past that are held until all of it is known.
    pub(crate) fn history_seconds(&self) -> usize {
        self.learning.as_ref().map_or(0, |learning| learning.past.len())
    }

    /// Has what decides know all that is known now.
    pub(super) fn learn(&mut self, cx: &mut Context<'_>) {
        match &self.learning {
            Some(Told { past, .. }) if cx.now < self.warm_at => {
                let history = past.entries(cx.now);
                let ready = self.count(Phase::Ready);
                let policy = self.declaration.policy.build(cx.now, ready, &history);
                self.driver.rebuilt(cx.now, policy);
                self.assume_known();
            }
            Some(_) => self.learn_all(cx),
            None => {}
        }
    }

    /// The past is as complete as it gets: what decides is built of it, if that was not done
    /// before.
    pub(super) fn learn_all(&mut self, cx: &mut Context<'_>) {
        let was_learning = self.is_learning();
        let Some(Told { past, .. }) = self.learning.take() else { return };
        let ready = self.count(Phase::Ready);
        let policy = self.declaration.policy.build(cx.now, ready, &past.entries(cx.now));
        self.driver.rebuilt(cx.now, policy);
        if was_learning {
            self.assume_known();
            // Those that are not known by now are gone: activators forget them.
            self.push_due = None;
            self.pushed = self.instances.endpoints().into();
            self.send_endpoints(cx);
        }
    }

    /// Instances that are there, as far as their own reports and activators have told.
    pub(super) fn known_instances(&self) -> u32 {
        let phases = [Phase::Ready, Phase::Unready, Phase::Starting];
        let told: u32 = phases.map(|phase| self.count(phase)).iter().sum();
        told.max(self.learning.as_ref().map_or(0, |learning| learning.known_to_activators))
    }

    /// An activator knows so many instances, by what a controller before this one told it.
    pub(crate) fn activator_knows(&mut self, instances: u32) {
        if let Some(learning) = &mut self.learning {
            learning.known_to_activators = learning.known_to_activators.max(instances);
        }
    }

    /// What is there was wanted, by a controller before this one.
    fn assume_known(&mut self) {
        let known = match self.is_learning() {
            true => self.known_instances(),
            false => self.count(Phase::Ready),
        };
        let known = i32::try_from(known).unwrap_or(i32::MAX);
        if self.declaration.launch.is_none()
            && let Some(lifecycle) = self.driver.lifecycle_mut()
        {
            lifecycle.set_replicas(lifecycle.replicas().max(known));
        }
    }

    /// Nothing that is there stops being wanted while more of it may be heard of.
    pub(super) fn keep_known(&mut self, mut followed: Applied) -> Applied {
        if !self.is_learning() {
            return followed;
        }
        let ScaleBounds { max, .. } = match self.pinned {
            Some(pinned) => pinned.bounds,
            None => self.declaration.lifecycle.bounds,
        };
        let Some(lifecycle) = self.driver.lifecycle_mut() else { return followed };
        let allowed = if max == 0 { i32::MAX } else { max };
        let kept = lifecycle.replicas().max(followed.before.min(allowed));
        lifecycle.set_replicas(kept);
        followed.replicas = kept;
        if let Some(step) = &mut followed.step {
            step.replicas = kept;
        }
        followed
    }
}
