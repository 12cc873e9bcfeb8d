//! Very many revisions: only those with something to decide are visited.
//!
//! A revision is at rest when no decision could change anything: nothing is reported for it, or
//! only zeros, and it is at zero already. At rest it costs its memory and no time. A report, a
//! waiting request or a change of its instances gets it up again.
//!
//! Decisions are spread over the tick interval: each block of neighbours belongs to one of
//! [`PHASES`] phases, and [`Fleet::advance`] visits the phases whose time has come, each in the
//! order the revisions lie in memory.

mod active_set;
mod places;

use std::sync::Arc;

use crate::decide::Decision;
use crate::observed::Observed;
use crate::revision::{RevisionAutoscaler, RevisionSettings, TICK_INTERVAL_MS};
use crate::sample::{Origin, Sample};
use crate::time::Timestamp;
use crate::window::WindowError;
use active_set::ActiveSet;
use places::{BLOCK, Place, Places};

/// Into how many parts the tick interval is divided, so that a large fleet is not decided in one
/// burst: a part is 100 ms.
pub const PHASES: usize = 20;

/// Length of a phase in milliseconds.
const PHASE_MS: i64 = TICK_INTERVAL_MS as i64 / PHASES as i64;

/// A revision of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId {
    index: u32,
    /// Tells a revision from one that had the same place before.
    generation: u32,
}

/// A decision of one revision of a fleet.
#[derive(Debug)]
pub struct Visit<'a> {
    /// Which revision.
    pub id: RevisionId,
    /// What was decided.
    pub decision: &'a Decision,
    /// Whether that is another number of instances, or another sign of excess burst capacity,
    /// than before.
    pub is_news: bool,
}

/// Autoscalers of very many revisions.
#[derive(Debug)]
pub struct Fleet {
    places: Places,
    free: Vec<u32>,
    active: [ActiveSet; PHASES],
    next_phase: i64,
}

impl Fleet {
    /// An empty fleet whose first phase is that of `now`.
    pub fn new(now: Timestamp) -> Fleet {
        Fleet {
            places: Places::default(),
            free: Vec::new(),
            active: std::array::from_fn(|_| ActiveSet::default()),
            next_phase: now.as_millis().div_euclid(PHASE_MS),
        }
    }

    /// Adds a revision that has `observed` instances. Settings may be shared by many revisions;
    /// pass a clone of one `Arc` then.
    ///
    /// # Errors
    ///
    /// As [`RevisionAutoscaler::new`].
    pub fn insert(
        &mut self,
        now: Timestamp,
        settings: impl Into<Arc<RevisionSettings>>,
        observed: Observed,
    ) -> Result<RevisionId, WindowError> {
        let autoscaler = RevisionAutoscaler::new(settings, now, observed.ready)?;
        let reused = self.free.pop().and_then(|index| {
            let place = self.places.get_mut(index as usize)?;
            Some((index, place))
        });
        let (index, generation) = match reused {
            Some((index, place)) => {
                place.observed = observed;
                place.autoscaler = Some(autoscaler);
                (index, place.generation)
            }
            None => {
                let place = Place { generation: 0, observed, autoscaler: Some(autoscaler) };
                (self.places.push(place), 0)
            }
        };
        self.rouse(index);
        Ok(RevisionId { index, generation })
    }

    /// Removes a revision and returns its autoscaler, if it is still there.
    pub fn remove(&mut self, id: RevisionId) -> Option<RevisionAutoscaler> {
        let place = self.place(id)?;
        let autoscaler = place.autoscaler.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.index);
        self.rest(id.index);
        Some(autoscaler)
    }

    /// The autoscaler of a revision.
    pub fn get(&self, id: RevisionId) -> Option<&RevisionAutoscaler> {
        let place = self.places.get(id.index as usize)?;
        place.autoscaler.as_ref().filter(|_| place.generation == id.generation)
    }

    /// Changes the autoscaler of a revision, and has it decide at its next turn.
    pub fn update(&mut self, id: RevisionId, change: impl FnOnce(&mut RevisionAutoscaler)) -> bool {
        let Some(autoscaler) = self.place(id).and_then(|place| place.autoscaler.as_mut()) else {
            return false;
        };
        change(autoscaler);
        self.rouse(id.index);
        true
    }

    /// Records a report for a revision.
    pub fn record(&mut self, id: RevisionId, at: Timestamp, origin: Origin, sample: &Sample) {
        let Some(autoscaler) = self.place(id).and_then(|place| place.autoscaler.as_mut()) else {
            return;
        };
        autoscaler.record(at, origin, sample);
        // A report of nothing at all is no reason to get up for who is at zero already.
        if *sample != Sample::IDLE || !autoscaler.is_at_rest(at) {
            self.rouse(id.index);
        }
    }

    /// Notes the instances of a revision.
    pub fn observe(&mut self, id: RevisionId, observed: Observed) {
        let Some(place) = self.place(id) else { return };
        if place.observed != observed {
            place.observed = observed;
            self.rouse(id.index);
        }
    }

    /// Decides at once for a revision for which `waiting` requests wait, if that is due.
    pub fn wake(&mut self, id: RevisionId, now: Timestamp, waiting: u32) -> Option<Decision> {
        let place = self.place(id)?;
        let observed = place.observed;
        let autoscaler = place.autoscaler.as_mut()?;
        if !autoscaler.should_wake(f64::from(waiting)) {
            return None;
        }
        let decision = autoscaler.tick(now, Some(observed), &[]);
        self.rouse(id.index);
        Some(decision)
    }

    /// Decides for the active revisions of every phase that has begun since the last call, once
    /// each however late it is, and tells `visit`. Call it every 100 ms or so.
    pub fn advance(&mut self, now: Timestamp, mut visit: impl FnMut(Visit<'_>)) {
        let phase = now.as_millis().div_euclid(PHASE_MS);
        let first = self.next_phase.max(phase.saturating_sub(PHASES as i64 - 1));
        for phase in first..=phase {
            self.decide_phase(phase.rem_euclid(PHASES as i64) as usize, now, &mut visit);
        }
        self.next_phase = self.next_phase.max(phase.saturating_add(1));
    }

    fn decide_phase(&mut self, phase: usize, now: Timestamp, visit: &mut impl FnMut(Visit<'_>)) {
        let Fleet { places, active, .. } = self;
        active[phase].retain(|position| {
            let block = position / BLOCK * PHASES + phase;
            let index = block * BLOCK + position % BLOCK;
            let Some(place) = places.get_mut(index) else { return false };
            let Some(autoscaler) = &mut place.autoscaler else { return false };
            let before = autoscaler.status();
            let decision = autoscaler.tick(now, Some(place.observed), &[]);
            let is_news = before.is_news(&autoscaler.status());
            let id = RevisionId { index: index as u32, generation: place.generation };
            visit(Visit { id, decision: &decision, is_news });
            !autoscaler.is_at_rest(now)
        });
    }

    /// How many revisions there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many revisions have something to decide.
    pub fn active(&self) -> usize {
        self.active.iter().map(ActiveSet::len).sum()
    }

    fn place(&mut self, id: RevisionId) -> Option<&mut Place> {
        let place = self.places.get_mut(id.index as usize)?;
        (place.generation == id.generation).then_some(place)
    }

    fn rouse(&mut self, index: u32) {
        let (phase, position) = phase_of(index as usize);
        self.active[phase].insert(position);
    }

    fn rest(&mut self, index: u32) {
        let (phase, position) = phase_of(index as usize);
        self.active[phase].remove(position);
    }
}

/// The phase of a place, and its position in that phase's set.
fn phase_of(index: usize) -> (usize, usize) {
    let block = index / BLOCK;
    (block % PHASES, block / PHASES * BLOCK + index % BLOCK)
}
