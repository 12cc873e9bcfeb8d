//! How much memory a controller's state takes at its bounds, each of them driven to its end.
//!
//! `cargo run --release -p tidegate-bench --bin controller_bounds`. The state is driven by the
//! events its task would hand it, with every name and address as long as it may be, until the
//! bound refuses one more. Counted are the bytes that were allocated and not given back, step by
//! step.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_autoscaler::{Improvements, Sample, Timestamp};
use tidegate_controller::event::{Effect, StreamRefusal};
use tidegate_controller::identity::{NAME_BYTES_MAX, ReporterId};
use tidegate_controller::report::{Hello, Report};
use tidegate_controller::{Event, InstanceName, RevisionId, State, Template, UndeclaredRevisions};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// More than any bound: a step that reaches this was not bounded.
const UNBOUNDED: u64 = 1_000_000;

/// Seconds in which decisions are made: enough to fill the rings of all.
const DECIDING_S: i64 = 20;

const START_S: i64 = 946_684_800;

fn main() {
    let mut world = World::new();
    println!("| what | how many | MB | bytes each |");
    println!("|---|---:|---:|---:|");
    world.step("revisions that nobody declared, an instance each", |world| {
        world.fill(|number| (number, number))
    });
    world.step("instances of one revision", |world| {
        let first = world.reporters;
        world.fill(|number| (0, first + number))
    });
    world.step("instances of all, the rest in another revision", |world| {
        let first = world.reporters;
        world.fill(|number| (1, first + number))
    });
    world.step("activators", World::fill_activators);
    world.step("seconds of the past, of which each revision has sent its own", World::remember);
    world.step("decisions, the last of each revision and the rings of all", World::decide);
}

struct World {
    state: State,
    now: Timestamp,
    reporters: u64,
    instances: Vec<ReporterId>,
}

impl World {
    fn new() -> Self {
        let template = Template {
            config: Config::from_map(&[].into(), Strictness::Strict).expect("defaults are good"),
            annotations: [].into(),
            improvements: Improvements::all(),
        };
        let state = State::new(UndeclaredRevisions::Adopt(Box::new(template)));
        Self { state, now: Timestamp::from_secs(START_S), reporters: 0, instances: Vec::new() }
    }

    fn step(&mut self, what: &str, drive: impl FnOnce(&mut Self) -> u64) {
        let region = Region::new(ALLOCATOR);
        let count = drive(self);
        let change = region.change();
        let bytes = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        let each = bytes as u64 / count.max(1);
        println!("| {what} | {count} | {:.1} | {each} |", bytes as f64 / 1e6);
    }

    /// Connects instances until one is refused; `next` names revision and instance.
    fn fill(&mut self, next: impl Fn(u64) -> (u64, u64)) -> u64 {
        for number in 0..UNBOUNDED {
            let (revision, instance) = next(number);
            let hello = Hello::QueueProxy {
                revision: revision_id(revision),
                instance: InstanceName::new(&long("instance", instance)).expect("a good name"),
                address: format!("{}:12345", long("host", instance)),
                container_concurrency: 10,
                max_waiting: 0,
                counts_connections: false,
                token: tidegate_controller::identity::Token::new(&[7; 16]),
                start_unix_ms: START_S * 1_000,
            };
            if !self.connect(hello) {
                return number;
            }
            self.instances.push(ReporterId(self.reporters));
        }
        panic!("nothing bounds these");
    }

    fn fill_activators(&mut self) -> u64 {
        // Each stream is one of all that there may be: make room as instances that hang up do.
        for reporter in self.instances.split_off(self.instances.len().saturating_sub(2_000)) {
            self.state.apply(self.now, Event::Disconnected { reporter });
        }
        for number in 0..UNBOUNDED {
            let name = InstanceName::new(&long("activator", number)).expect("a good name");
            if !self.connect(Hello::Activator { name, max_waiting: 0, token: None }) {
                return number;
            }
        }
        panic!("nothing bounds these");
    }

    /// Whether a stream is welcome.
    fn connect(&mut self, hello: Hello) -> bool {
        self.reporters += 1;
        let reporter = ReporterId(self.reporters);
        let effects = self.state.apply(self.now, Event::Connected { reporter, hello });
        let full = |effect: &Effect| match effect {
            Effect::Refuse { refusal: StreamRefusal::Full { .. }, .. } => true,
            Effect::Refuse { refusal, .. } => panic!("refused for another reason: {refusal}"),
            _ => false,
        };
        !effects.iter().any(full)
    }

    /// Everybody sends a minute of the past.
    fn remember(&mut self) -> u64 {
        let now_ms = self.now.as_millis();
        for reporter in self.instances.clone() {
            let minute = (0..60).map(|second| report(second, now_ms - (60 - second) * 1_000));
            let reports = minute.collect();
            self.state.apply(self.now, Event::Remembered { reporter, reports });
        }
        self.instances.len() as u64 * 60
    }

    /// Everybody reports every second, and everything that is due is done.
    fn decide(&mut self) -> u64 {
        let mut decisions = 0;
        for second in 1..=DECIDING_S {
            self.now = Timestamp::from_secs(START_S + second);
            for &reporter in &self.instances {
                let report = report(60 + second, self.now.as_millis());
                drop(self.state.apply(self.now, Event::Reported { reporter, report }));
            }
            let effects = self.state.apply(self.now, Event::Due);
            decisions += effects.iter().filter(|e| matches!(e, Effect::Decided(_))).count();
        }
        decisions as u64
    }
}

fn report(sequence: i64, end_unix_ms: i64) -> Report {
    Report {
        sequence: sequence.cast_unsigned(),
        end_unix_ms,
        length_ms: 1_000,
        sample: Sample::new(5.0, 0.0, 5.0, 0.0).expect("a finite load"),
        waiting: 0,
        in_flight: 5,
        limit: 10,
        ready: true,
        draining: false,
        revision: None,
        outcomes: Default::default(),
        listening_age_ms: None,
        cold_starts: Vec::new(),
    }
}

fn revision_id(number: u64) -> RevisionId {
    RevisionId::new(&long("namespace", number), &long("revision", number)).expect("a good name")
}

/// A name as long as names may be.
fn long(what: &str, number: u64) -> String {
    format!("{what}-{number:0width$}", width = NAME_BYTES_MAX - what.len() - 1)
}
