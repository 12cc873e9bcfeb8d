//! An autoscaler made anew from what its reporters kept.
//!
//! The reporters of a fleet remember the last minutes; together they are the autoscaler's backup.
//! After a restart it decides on their history as if it had been there: samples are recorded
//! again, and the decisions that would have been made in between are made again, because panic
//! and the scale-down delay are made of past decisions.

use crate::observed::Observed;
use crate::revision::{RevisionAutoscaler, RevisionSettings, TICK_INTERVAL_MS};
use crate::sample::{Origin, Sample};
use crate::time::Timestamp;
use crate::window::WindowError;

/// One second of a revision's past.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HistoryEntry {
    /// When the sample was recorded.
    pub at: Timestamp,
    /// Which side reported it: instances or an activator.
    pub origin: Origin,
    /// The sample.
    pub sample: Sample,
    /// The instances at that time.
    pub observed: Observed,
}

impl RevisionSettings {
    /// How much history makes an autoscaler forget nothing that matters, in milliseconds: one
    /// stable window to fill the windows, and from then on as long as panic or the scale-down
    /// delay remember a decision.
    pub fn history_ms(&self) -> u64 {
        let memory_ms = self.spec.stable_window_ms.max(self.spec.scale_down_delay_ms);
        self.metric.stable_window_ms.saturating_add(memory_ms).saturating_add(2 * TICK_INTERVAL_MS)
    }
}

impl RevisionAutoscaler {
    /// An autoscaler that will decide at `next_tick`, and every [`TICK_INTERVAL_MS`] from there,
    /// what one that never stopped would have decided.
    ///
    /// `history` is in the order it was recorded. If it spans
    /// [`RevisionSettings::history_ms`], decisions are replayed from where the windows are full;
    /// if it is shorter, it is taken for the revision's whole life. Panic that began before
    /// that is known by the instances requested since: in panic, what was requested is the
    /// least that is recommended.
    ///
    /// # Errors
    ///
    /// As [`RevisionAutoscaler::new`].
    pub fn rebuild(
        settings: RevisionSettings,
        history: &[HistoryEntry],
        next_tick: Timestamp,
    ) -> Result<RevisionAutoscaler, WindowError> {
        let Some(first) = history.first() else {
            return RevisionAutoscaler::new(settings, next_tick, 0);
        };
        let cut = next_tick.millis_since(first.at) >= settings.history_ms();
        let settled_ms = if cut { settings.metric.stable_window_ms } else { 0 };
        let settled = first.at.plus_millis(settled_ms);
        // An autoscaler that starts with several instances holds them in panic for a while; one
        // that never stopped does not.
        let ready = if cut { 0 } else { first.observed.ready };
        let mut autoscaler = RevisionAutoscaler::new(settings, first.at, ready)?;
        let mut ticks = replayed_ticks(first.at, next_tick).peekable();
        let mut observed = first.observed;
        for entry in history {
            while let Some(now) = ticks.next_if(|&now| now < entry.at) {
                autoscaler.replay_tick(now, settled, observed);
            }
            observed = entry.observed;
            autoscaler.record(entry.at, entry.origin, &entry.sample);
        }
        for now in ticks {
            autoscaler.replay_tick(now, settled, observed);
        }
        autoscaler.raise_panic(observed.requested);
        Ok(autoscaler)
    }

    /// Decides again what was decided at `now`; before `settled`, when the windows were fuller
    /// than they are now, only notes the instances.
    fn replay_tick(&mut self, now: Timestamp, settled: Timestamp, observed: Observed) {
        if now < settled {
            self.expect_reports_of(observed.ready);
        } else {
            self.raise_panic(observed.requested);
            let _ = self.tick(now, Some(observed), &[]);
        }
    }
}

/// The times of decisions from `first` to before `next_tick`, in step with it.
fn replayed_ticks(first: Timestamp, next_tick: Timestamp) -> impl Iterator<Item = Timestamp> {
    let count = next_tick.millis_since(first) / TICK_INTERVAL_MS;
    (1..=count).rev().map(move |back| next_tick.minus_millis(back * TICK_INTERVAL_MS))
}
