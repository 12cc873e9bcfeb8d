//! A whole recording, summed up: what a simulation of it needs besides the requests.

use std::collections::BTreeMap;

use tidegate_timeline::Timeline;

use crate::line::{Decision, End, Head, InstanceEvent, InstancePhase, Line, Place, Request};
use crate::moments::RecordedTimeline;

/// Changes of instances that are kept: a day of one a second; later ones are counted only.
pub const EVENTS_MAX: usize = 100_000;

/// Service times that are kept, the first ones: a law drawn from them needs no more.
pub const SERVICES_MAX: usize = 10_000;

/// Cold starts that are kept, the first ones: enough for the percentile of one in a thousand.
pub const COLD_STARTS_MAX: usize = 10_000;

/// What a recording holds besides its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The first head.
    pub head: Head,
    /// Time zero, in microseconds since 1970: the first decision, from which the controller counts
    /// its ticks, or the head's moment where nothing was decided.
    pub began_unix_us: u64,
    /// How it ended; `None` when it was cut off.
    pub end: Option<End>,
    /// Requests.
    pub requests: u64,
    /// Cold requests, of those of which it is known.
    pub cold: u64,
    /// Service times in microseconds, of the first requests that have one.
    pub services_us: Vec<u64>,
    /// Where the time of cold requests went, of the first that say so.
    pub cold_starts: Vec<ColdStart>,
    /// Changes of instances, in the order in which they were written.
    events: Vec<Event>,
    /// When another number of instances was wanted, and how many.
    decisions: Vec<(u64, u32)>,
    /// Changes beyond [`EVENTS_MAX`].
    pub events_left_out: u64,
    names: BTreeMap<String, usize>,
}

/// A cold request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdStart {
    /// When it arrived, in microseconds after the recording began.
    pub at_us: u64,
    /// The instance that it was sent to.
    pub instance: String,
    /// What followed.
    pub timeline: Timeline,
}

/// A change of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Event {
    at_us: u64,
    instance: usize,
    phase: InstancePhase,
}

/// The start of an instance, in microseconds after the recording began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// When it was started.
    pub from_us: u64,
    /// When it became ready, was stopped or died; or when the recording ended.
    pub until_us: u64,
    /// Whether it became ready.
    pub became_ready: bool,
}

/// A decision for more instances, in microseconds after the recording began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// When it was made.
    pub at_us: u64,
    /// When the instances were started that it asked for.
    pub starts_us: Vec<u64>,
}

/// Instances by what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InstanceCounts {
    /// Started and not ready.
    pub starting: u32,
    /// Ready.
    pub ready: u32,
    /// Finishing what they have.
    pub draining: u32,
}

/// Why lines are no recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The first line is none that says what follows.
    #[error("expected a head (`tidegate_recording`) before everything else")]
    Headless,
    /// Two runs in one file: their settings differ, and time lies between them.
    #[error(
        "expected one recording, found the head of another one; a recording holds one run: split \
         the file before this line"
    )]
    SecondHead,
}

impl Recorded {
    /// Begins with the first line.
    ///
    /// # Errors
    ///
    /// When that is no head.
    pub fn begin(line: Line<'_>) -> Result<Self, OrderError> {
        let Line::Head(head) = line else { return Err(OrderError::Headless) };
        let began_unix_us = head.began_unix_us;
        Ok(Self {
            head,
            began_unix_us,
            end: None,
            requests: 0,
            cold: 0,
            services_us: Vec::new(),
            cold_starts: Vec::new(),
            events: Vec::new(),
            decisions: Vec::new(),
            events_left_out: 0,
            names: BTreeMap::new(),
        })
    }

    /// Takes in one more line.
    ///
    /// # Errors
    ///
    /// When it is a head where none belongs. Sidecars may share a file, each with a head.
    pub fn add(&mut self, line: Line<'_>) -> Result<(), OrderError> {
        match line {
            Line::Request(request) => self.request(&request),
            Line::Instance(event) => self.event(&event),
            Line::Decision(decision) => self.decision(&decision),
            Line::End(end) => self.end = Some(end),
            Line::Head(head) => {
                let shared = [self.head.recorded_at, head.recorded_at] == [Place::Sidecar; 2];
                if !shared {
                    return Err(OrderError::SecondHead);
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, request: &Request<'_>) {
        self.requests += 1;
        self.cold += u64::from(request.cold == Some(true));
        if self.services_us.len() < SERVICES_MAX {
            self.services_us.extend(request.service_us);
        }
        if let Some(RecordedTimeline(timeline)) = request.timeline
            && self.cold_starts.len() < COLD_STARTS_MAX
        {
            self.cold_starts.push(ColdStart {
                at_us: request.arrived_unix_us.saturating_sub(self.head.began_unix_us),
                instance: request.instance.as_deref().unwrap_or_default().to_owned(),
                timeline,
            });
        }
    }

    fn event(&mut self, event: &InstanceEvent<'_>) {
        if self.events.len() == EVENTS_MAX {
            self.events_left_out += 1;
            return;
        }
        let next = self.names.len();
        let name = format!("{}/{}", event.revision, event.instance);
        let instance = *self.names.entry(name).or_insert(next);
        let at_us = event.at_unix_us.saturating_sub(self.began_unix_us);
        self.events.push(Event { at_us, instance, phase: event.phase });
    }

    fn decision(&mut self, decision: &Decision<'_>) {
        if self.decisions.len() == EVENTS_MAX {
            self.events_left_out += 1;
            return;
        }
        if self.decisions.is_empty() && self.events.is_empty() {
            self.began_unix_us = decision.at_unix_us;
        }
        let at_us = decision.at_unix_us.saturating_sub(self.began_unix_us);
        self.decisions.push((at_us, decision.wanted));
    }

    /// How long it lasted, in microseconds; `None` when it was cut off.
    pub fn length_us(&self) -> Option<u64> {
        self.end.map(|end| end.at_unix_us.saturating_sub(self.began_unix_us))
    }

    /// Every start of an instance, in the order in which they began.
    pub fn starts(&self) -> Vec<Start> {
        let last = self.events.last().map_or(0, |event| event.at_us);
        let end_us = self.length_us().unwrap_or(last);
        let mut open: Vec<Option<usize>> = vec![None; self.names.len()];
        let mut found: Vec<Start> = Vec::new();
        for event in &self.events {
            if event.phase == InstancePhase::Starting {
                open[event.instance] = Some(found.len());
                let from_us = event.at_us;
                found.push(Start { from_us, until_us: end_us.max(from_us), became_ready: false });
            } else if let Some(start) = open[event.instance].take() {
                found[start].until_us = event.at_us;
                found[start].became_ready = event.phase == InstancePhase::Ready;
            }
        }
        found
    }

    /// Every decision for more instances, with the starts that followed from it: those that take
    /// turns start in the order in which they were wanted.
    pub fn orders(&self) -> Vec<Order> {
        let (mut orders, mut lacking): (Vec<Order>, Vec<u32>) = Default::default();
        let (mut wanted, mut first) = (0, 0);
        let mut decisions = self.decisions.iter().copied().peekable();
        for start in self.starts() {
            while let Some((at_us, count)) = decisions.next_if(|(at, _)| *at <= start.from_us) {
                if count > wanted {
                    orders.push(Order { at_us, starts_us: Vec::new() });
                    lacking.push(count - wanted);
                } else {
                    withdraw(&mut lacking[first..], wanted - count);
                }
                wanted = count;
            }
            while lacking.get(first) == Some(&0) {
                first += 1;
            }
            // What is started beyond what was wanted replaces an instance that died.
            if let Some(left) = lacking.get_mut(first) {
                *left -= 1;
                orders[first].starts_us.push(start.from_us);
            }
        }
        orders
    }

    /// Instances over time: after each change, when it was and what there was from then on.
    pub fn timeline(&self) -> Vec<(u64, InstanceCounts)> {
        let mut phases = vec![None; self.names.len()];
        let mut counts = InstanceCounts::default();
        let mut timeline = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let next = (event.phase != InstancePhase::Gone).then_some(event.phase);
            if let Some(before) = std::mem::replace(&mut phases[event.instance], next) {
                let count = counts.of(before);
                *count = count.saturating_sub(1);
            }
            if let Some(phase) = next {
                *counts.of(phase) += 1;
            }
            timeline.push((event.at_us, counts));
        }
        timeline
    }

    /// Instances that there were `at_us` after the recording began.
    pub fn instances_at(&self, at_us: u64) -> InstanceCounts {
        let timeline = self.timeline();
        let last = timeline.iter().take_while(|(at, _)| *at <= at_us).last();
        last.map(|(_, counts)| *counts).unwrap_or_default()
    }
}

impl InstanceCounts {
    fn of(&mut self, phase: InstancePhase) -> &mut u32 {
        match phase {
            InstancePhase::Starting => &mut self.starting,
            InstancePhase::Ready => &mut self.ready,
            // Nothing is counted as gone.
            InstancePhase::Draining | InstancePhase::Gone => &mut self.draining,
        }
    }
}

/// So many instances fewer are wanted: the last that were ordered, and do not start yet, never do.
fn withdraw(lacking: &mut [u32], mut fewer: u32) {
    for left in lacking.iter_mut().rev() {
        let gone = fewer.min(*left);
        *left -= gone;
        fewer -= gone;
    }
}
