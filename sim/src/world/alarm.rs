//! A timer: at most one event of each thing is pending.

use crate::events::{EventQueue, Kind, NEVER, Tag};

/// The pending event of one timer. A time later than that of the pending event needs no push: its
/// handler sets the timer again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    tag: Tag,
    at: u64,
}

impl Alarm {
    /// Nothing is pending.
    pub(crate) const OFF: Alarm = Alarm { tag: Tag::NONE, at: NEVER };

    /// Schedules an event for `kind` number `slot` at `at`, or now if that has passed.
    #[inline]
    pub(crate) fn set(
        &mut self,
        at: u64,
        now: u64,
        events: &mut EventQueue,
        (kind, slot): (Kind, u32),
    ) {
        if at < self.at {
            self.at = at.max(now);
            self.tag = events.push(self.at, kind, slot);
        }
    }

    /// Whether `tag` is the event that is pending; it is then spent. Any other one is stale.
    #[inline]
    pub(crate) fn rings(&mut self, tag: Tag) -> bool {
        let rings = self.tag == tag;
        if rings {
            self.at = NEVER;
        }
        rings
    }
}
