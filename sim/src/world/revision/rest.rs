//! Sleep of a revision whose instances idle.
//!
//! While nothing happens to it, each second's reports say that there is no load, and the decisions
//! stay what they are for as long as the library says ([`tidegate_autoscaler::Steady`]). Nobody
//! then needs to look at it: the seconds that passed are caught up with when something happens, and
//! leave behind what they would have left one by one, to the bit.

use super::{Revision, Ticking};
use crate::events::NEVER;
use crate::time::NANOS_PER_SEC;

impl Revision {
    /// Whether it takes part in no tick because its instances idle.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        matches!(self.ticking, Ticking::Asleep { .. })
    }

    /// After a tick at `now`: falls asleep if no decision before a later tick can be another one.
    /// Returns the time of that tick, or [`NEVER`].
    pub(crate) fn fall_asleep(&mut self, now: u64) -> Option<u64> {
        if !self.ticks_at(now) || !self.is_idle() || !self.is_reported_simply() {
            return None;
        }
        let changes = self.scaler.steady_until(now, self.observed())?;
        let every = self.scaler.tick_every_ms() * 1_000_000;
        let until = if changes == NEVER { NEVER } else { changes.div_ceil(every) * every };
        // A sleep of a tick or two costs as much as it saves.
        if until <= now + 2 * every {
            return None;
        }
        self.ticking = Ticking::Asleep { since: now, until };
        Some(until)
    }

    /// When a sleeping revision has to wake by itself, if it sleeps.
    pub(crate) fn sleeps_until(&self) -> Option<u64> {
        match self.ticking {
            Ticking::Asleep { until, .. } => Some(until),
            Ticking::On | Ticking::Off => None,
        }
    }

    /// Ends its sleep after the tick of the whole second `last`, as if it had taken part in all of
    /// them; decisions count from `counted_from` on.
    pub(crate) fn catch_up(&mut self, last: u64, counted_from: u64) {
        let Ticking::Asleep { since, .. } = self.ticking else { return };
        self.ticking = Ticking::On;
        if last <= since {
            return;
        }
        self.busy_at = last;
        self.reporters.close_idle(since + NANOS_PER_SEC, last);
        let every = self.scaler.tick_every_ms() * 1_000_000;
        let decided = last / every * every;
        if decided > since {
            self.scaler.record_nothing_until(decided);
            if !self.scaler.repeats(decided) {
                let verdict = self.decide(decided);
                let changed = self.note_decision(&verdict);
                debug_assert!(!changed, "{}: {verdict:?}, not as before its sleep", self.name);
            }
        }
        self.scaler.record_nothing_until(last);
        let first = since.max(counted_from.saturating_sub(1));
        self.counters.decisions += (decided / every).saturating_sub(first / every);
    }

    /// Whether it has all the instances that are wanted, and they have nothing to do.
    fn is_idle(&self) -> bool {
        let settled = self.starting.is_empty() && self.draining.is_empty();
        let count = self.ready.len();
        self.counters.now.inside == 0 && settled && count > 0 && count as u32 == self.wanted
    }

    /// Whether one report of no load each second, which arrives at once, is all that is said of
    /// it, and nothing is drawn of what is made of that.
    fn is_reported_simply(&self) -> bool {
        let reporting = &self.model.reporting;
        let at_once = reporting.lag.as_nanos() == 0 && reporting.loss == 0.0;
        let together = self.urgent.is_none() && self.is_scraped() && !self.asks_each();
        at_once
            && together
            && self.series.is_none()
            && self.reports.is_empty()
            && self.reporters.are_up_to_date()
    }
}
