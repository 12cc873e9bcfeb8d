//! Instances that are not wanted stand still instead of ending, where the declaration says so.
//!
//! One rests in two steps: activators are told to send it nothing more, and only when it has had no
//! request for a while after that does it stand still. Should a request have come to it all the
//! same, it goes on.

use std::cmp::Reverse;

use tidegate_timeline::Start;

use super::{Context, Revision};
use crate::declaration::IdleMode;
use crate::event::Effect;
use crate::identity::InstanceName;
use crate::instance::Phase;
use crate::notice::Notice;
use crate::report::Report;

/// How long after activators were told an instance must have been without a request before it
/// stands still: what was on its way has arrived by then.
const QUIET_MS: u64 = 500;

impl Revision {
    /// Whether an instance that is not wanted any more may rest instead of ending. One that was
    /// never ready has nothing that would be worth its memory.
    pub(super) fn may_rest(&self, name: &InstanceName) -> bool {
        let freezes = self.declaration.launch.as_ref();
        freezes.is_some_and(|launch| launch.idle_mode == IdleMode::Freeze)
            && self.instances.get(name).is_some_and(|instance| {
                instance.phase == Phase::Ready && !instance.outdated && instance.failure.is_none()
            })
    }

    /// Sends these instances to rest.
    pub(super) fn send_to_rest(&mut self, cx: &mut Context<'_>, names: Vec<InstanceName>) {
        if names.is_empty() {
            return;
        }
        for name in &names {
            self.instances.change(name, |instance| {
                instance.phase = Phase::Freezing;
                instance.resting_since = Some(cx.now);
            });
        }
        self.push_endpoints_now(cx);
    }

    /// An instance that rests has reported.
    pub(super) fn rested_reported(
        &mut self,
        cx: &mut Context<'_>,
        name: &InstanceName,
        report: &Report,
    ) {
        let is_busy = report.in_flight > 0 || report.waiting > 0;
        let Some(instance) = self.instances.get(name).filter(|instance| instance.rests()) else {
            return;
        };
        let (phase, since) = (instance.phase, instance.resting_since.unwrap_or(cx.now));
        let instance = name.clone();
        match (phase, is_busy) {
            (Phase::Freezing, false) if cx.now.millis_since(since) >= QUIET_MS => {
                self.instances.change(name, |instance| instance.phase = Phase::Frozen);
                cx.effects.push(Effect::Freeze { instance: instance.clone() });
                cx.effects.push(Effect::Announce(Notice::Frozen { instance }));
            }
            (Phase::Frozen, true) => {
                self.instances.change(name, |instance| {
                    instance.phase = Phase::Freezing;
                    instance.resting_since = Some(cx.now);
                });
                cx.effects.push(Effect::Thaw { instance });
            }
            _ => {}
        }
    }

    /// Wakes instances that rest while fewer are there than are wanted: those that went to rest
    /// last.
    pub(super) fn wake_rested(&mut self, cx: &mut Context<'_>) {
        let lacking = usize::try_from(self.lacking()).unwrap_or(usize::MAX);
        if lacking == 0 || self.resting() == 0 {
            return;
        }
        let mut resting: Vec<_> = self
            .instances
            .all()
            .filter(|instance| instance.rests() && !instance.outdated)
            .map(|instance| (Reverse(instance.resting_since), instance.name.clone()))
            .collect();
        resting.sort();
        let decided = Some(self.raised_at.unwrap_or(cx.now));
        for (_, name) in resting.into_iter().take(lacking) {
            let now = Some(cx.now);
            let was_frozen = self.instances.change(&name, |instance| {
                let was_frozen = instance.phase == Phase::Frozen;
                let woken = if instance.is_able() { Phase::Ready } else { Phase::Unready };
                instance.phase = woken;
                instance.resting_since = None;
                // What a request waits for from now on is this, and not its start of long ago.
                instance.start =
                    Start { decided, actuated: now, started: now, listening: now, ready: now };
                was_frozen
            });
            if was_frozen == Some(true) {
                cx.effects.push(Effect::Thaw { instance: name.clone() });
                cx.effects.push(Effect::Announce(Notice::Woken { instance: name }));
            }
        }
        self.push_endpoints_now(cx);
    }

    /// Instances that rest, or are about to.
    pub(crate) fn resting(&self) -> u32 {
        self.count(Phase::Freezing) + self.count(Phase::Frozen)
    }
}
