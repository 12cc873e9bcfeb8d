//! What one second of a whole controller costs, from a thousand revisions to a hundred thousand.
//!
//! `cargo run --release -p tidegate-bench --bin autoscaler_fleet [ACTIVE_PERCENT]`. A controller's
//! state is driven by the events its task would hand it: nothing is measured that does not
//! run. Of each fleet a share (10 % unless told) has one instance that reports every second; the
//! rest was declared and has nothing to decide. Decisions are due every two seconds. Times are
//! processor time, medians of eleven; memory is what the state allocated before the first report.

use std::alloc::System;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidegate_autoscaler::settings::{Config, Strictness};
use tidegate_autoscaler::{Improvements, Sample, Timestamp};
use tidegate_controller::identity::ReporterId;
use tidegate_controller::report::{Hello, Report};
use tidegate_controller::{Event, InstanceName, RevisionId, State, Template, UndeclaredRevisions};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZES: [u32; 5] = [1_000, 3_000, 10_000, 30_000, 100_000];
const ROUNDS: usize = 11;
const START_S: i64 = 946_684_800;

fn main() -> ExitCode {
    let percent = std::env::args().nth(1).map_or(Some(10), |text| text.parse::<u32>().ok());
    let Some(percent) = percent.filter(|percent| (1..=100).contains(percent)) else {
        eprintln!("usage: autoscaler_fleet [ACTIVE_PERCENT from 1 to 100]");
        return ExitCode::from(2);
    };
    println!(
        "{:>9} {:>7} {:>8} {:>11} {:>11} {:>11} {:>9}",
        "revisions", "active", "switches", "tick ms", "ns/decision", "ns/report", "bytes/rev"
    );
    for (name, improvements) in [("none", Improvements::none()), ("all", Improvements::all())] {
        for size in SIZES {
            let measured = measure(size, percent, improvements);
            let Measured { active, tick_s, report_s, bytes } = measured;
            println!(
                "{size:>9} {active:>7} {name:>8} {:>11.3} {:>11.1} {:>11.1} {bytes:>9}",
                tick_s * 1e3,
                tick_s * 1e9 / active as f64,
                report_s * 1e9 / active as f64,
            );
        }
    }
    ExitCode::SUCCESS
}

struct Measured {
    active: usize,
    /// Seconds for one decision of everyone active.
    tick_s: f64,
    /// Seconds for one report of everyone active.
    report_s: f64,
    bytes: usize,
}

fn measure(size: u32, percent: u32, improvements: Improvements) -> Measured {
    let start = Timestamp::from_secs(START_S);
    let template = Template {
        config: Config::from_map(&[].into(), Strictness::Strict).expect("defaults are good"),
        annotations: [].into(),
        improvements,
    };
    let mut state = State::new(UndeclaredRevisions::Refuse);
    let region = Region::new(ALLOCATOR);
    for index in 0..size {
        let declaration = template.declare(revision(index), 0).expect("defaults are good");
        drop(state.apply(start, Event::Declare(Box::new(declaration))));
    }
    let change = region.change();
    let bytes = (change.bytes_allocated - change.bytes_deallocated) / size as usize;
    let active: Vec<u32> = (0..size).filter(|i| i * percent % 100 < percent).collect();
    for &index in &active {
        drop(state.apply(start, connected(index)));
    }

    // Enough to be past the time in which the past is waited for, and to fill the panic window.
    let warm_seconds = 12;
    let (mut ticks, mut reports) = (Vec::new(), Vec::new());
    for second in 1.. {
        let at = start.plus_millis(second * 1_000);
        let begin = processor_seconds();
        for (place, &index) in active.iter().enumerate() {
            let report = report(second, (place as u64 + second) % 140, at);
            drop(state.apply(at, Event::Reported { reporter: ReporterId(index.into()), report }));
        }
        let reported_s = processor_seconds() - begin;
        let mut decided_s = 0.0;
        let mut decided = 0;
        // Every 100 ms the task would be woken at least once: whatever is due is done.
        for tenth in 0..10 {
            let begin = processor_seconds();
            let effects = state.apply(at.plus_millis(tenth * 100), Event::Due);
            decided_s += processor_seconds() - begin;
            decided += effects.len();
        }
        if second > warm_seconds {
            reports.push(reported_s);
            if decided >= active.len() {
                ticks.push(decided_s);
            }
        }
        if ticks.len() == ROUNDS {
            break;
        }
    }
    let (tick_s, report_s) = (median(&mut ticks), median(&mut reports));
    Measured { active: active.len(), tick_s, report_s, bytes }
}

fn revision(index: u32) -> RevisionId {
    RevisionId::new("default", &format!("revision-{index}")).expect("a good name")
}

fn connected(index: u32) -> Event {
    Event::Connected {
        reporter: ReporterId(index.into()),
        hello: Hello::QueueProxy {
            revision: revision(index),
            instance: InstanceName::new(&format!("instance-{index}")).expect("a good name"),
            address: "127.0.0.1:8012".to_owned(),
            container_concurrency: 0,
            max_waiting: 0,
            counts_connections: false,
            token: None,
            start_unix_ms: START_S * 1_000,
        },
    }
}

fn report(second: u64, load: u64, at: Timestamp) -> Report {
    Report {
        sequence: second,
        end_unix_ms: at.as_millis(),
        length_ms: 1_000,
        sample: Sample::new(load as f64, 0.0, load as f64, 0.0).expect("a finite load"),
        waiting: 0,
        in_flight: load as u32,
        limit: 0,
        ready: true,
        draining: false,
        revision: None,
        outcomes: Default::default(),
        listening_age_ms: None,
        cold_starts: Vec::new(),
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds of processor time that this thread has used.
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
