//! What a person orders of a revision: that its instances are replaced, how many there are.

use tidegate_autoscaler::Timestamp;
use tidegate_autoscaler::driver::Applied;

use super::{Context, Revision};
use crate::event::Effect;
use crate::identity::InstanceName;
use crate::instance::Owner;
use crate::notice::Notice;
use crate::pin::Pin;

impl Revision {
    /// Has every instance that is there replaced; see [`Revision::reconcile`].
    pub(crate) fn restart(&mut self, cx: &mut Context<'_>) {
        // What only rests is not worth a new one in its place.
        let resting = self.instances.all().filter(|instance| instance.rests());
        let resting: Vec<InstanceName> = resting.map(|instance| instance.name.clone()).collect();
        self.drain(cx, &resting);
        let kept = self.instances.all().filter(|instance| {
            instance.owner == Owner::Controller && instance.is_kept() && instance.failure.is_none()
        });
        let old: Vec<InstanceName> = kept.map(|instance| instance.name.clone()).collect();
        if self.has_fixed_port() {
            // There is no room for a new one beside it.
            self.drain(cx, &old);
        }
        for name in &old {
            self.instances.change(name, |instance| instance.outdated = true);
        }
        self.restarting = true;
        let instances = u32::try_from(old.len()).unwrap_or(u32::MAX);
        let revision = self.id().clone();
        cx.effects.push(Effect::Announce(Notice::Restarting { revision, instances }));
        self.reconcile(cx);
    }

    /// Says once that the last instance which was to be replaced is gone.
    pub(super) fn note_restarted(&mut self, cx: &mut Context<'_>) {
        let figures = self.instances.figures();
        // With one port for all, the new one comes after the old one has gone.
        let comes_yet = self.has_fixed_port() && (self.lacking() > 0 || figures.coming() > 0);
        if self.restarting && figures.outdated() == 0 && !comes_yet {
            self.restarting = false;
            let revision = self.id().clone();
            cx.effects.push(Effect::Announce(Notice::Restarted { revision }));
        }
    }

    /// Whether its app has one port, and so one instance at a time.
    fn has_fixed_port(&self) -> bool {
        self.declaration.launch.as_ref().is_some_and(|launch| launch.port.is_some())
    }

    /// Takes these bounds in place of the declared ones, or those again.
    pub(crate) fn pin(&mut self, cx: &mut Context<'_>, pin: Option<Pin>) {
        let was_pinned = self.pinned.is_some();
        let pin = pin.map(|pin| if self.has_fixed_port() { pin.of_one_at_most() } else { pin });
        self.pinned = pin.map(|pin| pin.from(cx.now));
        let revision = self.id().clone();
        match pin {
            Some(pin) => cx.effects.push(Effect::Announce(Notice::Pinned { revision, pin })),
            None if was_pinned => cx.effects.push(Effect::Announce(Notice::Unpinned { revision })),
            None => return,
        }
        self.wake(cx.now);
        self.tick(cx);
    }

    /// What a person wants holds also where nothing is decided, as of a revision at zero for which
    /// nobody reports.
    pub(super) fn keep_pinned(&mut self, mut followed: Applied) -> Applied {
        let (Some(pinned), Some(lifecycle)) = (self.pinned, self.driver.lifecycle_mut()) else {
            return followed;
        };
        let kept = pinned.bounds.apply(lifecycle.replicas()).max(0);
        lifecycle.set_replicas(kept);
        followed.replicas = kept;
        if let Some(step) = &mut followed.step {
            step.replicas = kept;
        }
        followed
    }

    /// When the declared bounds hold again.
    pub(super) fn pin_ends(&self) -> Option<Timestamp> {
        self.pinned?.until
    }

    /// Whether the time of the pin is over; then the declared bounds hold again.
    pub(super) fn unpin_in_time(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self.pin_ends().is_some_and(|end| end <= cx.now);
        if is_over {
            self.pinned = None;
            let revision = self.id().clone();
            cx.effects.push(Effect::Announce(Notice::Unpinned { revision }));
        }
        is_over
    }
}
