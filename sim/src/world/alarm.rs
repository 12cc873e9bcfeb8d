//! The one event at which something is to be looked at.

use crate::events::{EventQueue, Kind, NEVER, Tag};

/// The next event of something that wants to be looked at. A later time than that of the event
/// pending needs no push: the pending one looks again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    tag: Tag,
    at: u64,
}

impl Alarm {
    /// Nothing is pending.
    pub(crate) const OFF: Alarm = Alarm { tag: Tag::NONE, at: NEVER };

    /// Makes sure that `kind` number `slot` is looked at by `at`, or now if that has passed.
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
