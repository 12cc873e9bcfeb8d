//! The calls of a population in order of time.
//!
//! A heap of a million functions would miss the cache twenty times for each call. Instead time is
//! cut into slots: each function is listed in the slot of its next call, and when a slot comes, the
//! calls of those listed in it are made, sorted and played. What is held is one slot's calls and
//! the state of each function, never a day's calls.

use std::collections::BTreeMap;

use tidegate_sim::arrival::{Arrival, ArrivalSource, RevisionIndex, RevisionNames, SourceError};
use tidegate_sim::random::Streams;
use tidegate_sim::time::SimTime;

use super::law::{HOURS, Population};
use super::member::Member;

/// Calls in a slot, about: their times then stay in the cache while they are sorted.
const CALLS_PER_SLOT: f64 = 16_384.0;
/// Shortest and longest slot, seconds: an idle population has few slots, and none is without end.
const SLOT_S: (f64, f64) = (0.001, 3_600.0);
/// A function that has not been called yet has no name.
const UNNAMED: u32 = u32::MAX;

/// One function.
struct Function {
    member: Member,
    app: u32,
    place: u16,
    revision: u32,
}

/// Plays a population.
pub(crate) struct PopulationSource {
    functions: Vec<Function>,
    /// Functions by the slot of their next call.
    slots: BTreeMap<u64, Vec<u32>>,
    slot_s: f64,
    /// Calls of the slot that is played, in reverse: nanoseconds and function.
    calls: Vec<(u64, u32)>,
    day: [f64; HOURS],
    until_s: f64,
    prefix: String,
    names: RevisionNames,
}

impl PopulationSource {
    /// `count` functions; those of an app are named `PREFIX-APP/NUMBER`.
    pub(crate) fn new(
        population: &Population,
        count: u32,
        prefix: &str,
        until_s: f64,
        streams: Streams,
    ) -> Self {
        let total = (population.mean_rate() * f64::from(count)).max(f64::MIN_POSITIVE);
        let slot_s = (CALLS_PER_SLOT / total).clamp(SLOT_S.0, SLOT_S.1);
        let mut source = PopulationSource {
            functions: Vec::with_capacity(count as usize),
            slots: BTreeMap::new(),
            slot_s,
            calls: Vec::new(),
            day: population.day(),
            until_s,
            prefix: prefix.to_owned(),
            names: RevisionNames::new(),
        };
        let mut sizes = streams.stream("apps", 0);
        let further = 1.0 - 1.0 / population.functions_per_app.max(1.0);
        let (mut app, mut place) = (0_u32, 0_u16);
        for index in 0..count {
            let member = population.member(u64::from(app), u32::from(place), streams);
            source.list(index, member.next_s());
            source.functions.push(Function { member, app, place, revision: UNNAMED });
            // So many functions of an app that the mean is as asked for.
            if place < u16::MAX && sizes.unit() < further {
                place += 1;
            } else {
                (app, place) = (app + 1, 0);
            }
        }
        source
    }

    fn list(&mut self, index: u32, next_s: f64) {
        if next_s < self.until_s {
            let slot = (next_s / self.slot_s) as u64;
            self.slots.entry(slot).or_default().push(index);
        }
    }

    /// Makes the calls of the next slot that has any; `false` at the end.
    fn fill(&mut self) -> bool {
        while self.calls.is_empty() {
            let Some((slot, listed)) = self.slots.pop_first() else { return false };
            for index in listed {
                let function = &mut self.functions[index as usize];
                let mut next_s = function.member.next_s();
                while next_s < self.until_s && (next_s / self.slot_s) as u64 <= slot {
                    self.calls.push((SimTime::from_secs_f64(next_s).as_nanos(), index));
                    function.member.advance(&self.day);
                    next_s = function.member.next_s();
                }
                self.list(index, next_s);
            }
            self.calls.sort_unstable_by(|one, other| other.cmp(one));
        }
        true
    }

    /// The revision of a function, which gets its name with its first call.
    fn revision_of(&mut self, index: u32) -> RevisionIndex {
        let function = &mut self.functions[index as usize];
        if function.revision == UNNAMED {
            let name = format!("{}-{}/{}", self.prefix, function.app, function.place);
            function.revision = self.names.intern(&name).0;
        }
        RevisionIndex(function.revision)
    }
}

impl ArrivalSource for PopulationSource {
    fn next(&mut self) -> Option<Result<Arrival, SourceError>> {
        if self.calls.is_empty() && !self.fill() {
            return None;
        }
        let (at, index) = self.calls.pop()?;
        let revision = self.revision_of(index);
        Some(Ok(Arrival { at: SimTime::from_nanos(at), service: None, revision }))
    }

    fn names(&self) -> &RevisionNames {
        &self.names
    }
}
