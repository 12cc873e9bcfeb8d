//! What a tick over a whole fleet costs, from a thousand revisions to a million.
//!
//! `cargo run --release -p tidegate-bench --bin autoscaler_fleet [ACTIVE_PERCENT]`. Of each fleet
//! that share (10 % unless told) has traffic, spread evenly over it; the rest is at zero. A tick
//! decides for every revision with something to decide, once. Times are processor time of the
//! median of eleven ticks; memory is what the fleet allocated.

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidegate_autoscaler::revision::TICK_INTERVAL_MS;
use tidegate_autoscaler::{
    Fleet, Improvements, Observed, Origin, RevisionId, RevisionSettings, Sample, Timestamp,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZES: [usize; 7] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
const TICKS: usize = 11;
const START_S: i64 = 946_684_800;

fn main() -> ExitCode {
    let percent = std::env::args().nth(1).map_or(Some(10), |text| text.parse::<usize>().ok());
    let Some(percent) = percent.filter(|percent| (1..=100).contains(percent)) else {
        eprintln!("usage: autoscaler_fleet [ACTIVE_PERCENT from 1 to 100]");
        return ExitCode::from(2);
    };
    println!(
        "{:>9} {:>8} {:>9} {:>11} {:>11} {:>10} {:>10}",
        "revisions", "active", "switches", "tick ms", "ns/decision", "ns/record", "bytes/rev"
    );
    for improvements in [Improvements::none(), Improvements::all()] {
        for size in SIZES {
            measure(size, percent, improvements);
        }
    }
    ExitCode::SUCCESS
}

fn measure(size: usize, percent: usize, improvements: Improvements) {
    let start = Timestamp::from_secs(START_S);
    let settings = Arc::new(RevisionSettings { improvements, ..RevisionSettings::default() });
    let mut fleet = Fleet::new(start);
    let mut ids: Vec<RevisionId> = Vec::with_capacity(size);
    let region = Region::new(ALLOCATOR);
    for _ in 0..size {
        let id = fleet.insert(start, Arc::clone(&settings), Observed::ready(1));
        ids.push(id.expect("default windows"));
    }
    let active: Vec<RevisionId> = ids
        .iter()
        .enumerate()
        .filter(|(i, _)| i * percent % 100 < percent)
        .map(|(_, id)| *id)
        .collect();
    let change = region.change();
    let bytes = (change.bytes_allocated - change.bytes_deallocated) / size;

    let mut second = 0;
    let mut ticks = Vec::new();
    let mut records = Vec::new();
    let warm_seconds = 70;
    while ticks.len() < TICKS {
        second += 1;
        let at = start.plus_millis(second * 1000);
        let begin = processor_seconds();
        for (index, id) in active.iter().enumerate() {
            let load = ((index + second as usize) % 140) as f64;
            let sample = Sample::new(load, 0.0, load, 0.0).expect("a finite load");
            fleet.record(*id, at, Origin::Instances, &sample);
        }
        if second > warm_seconds {
            records.push(processor_seconds() - begin);
        }
        if (second * 1000).is_multiple_of(TICK_INTERVAL_MS) {
            let mut decided = 0_usize;
            let begin = processor_seconds();
            fleet.advance(at.plus_millis(500), |visit| {
                decided += usize::from(visit.decision.valid);
            });
            if second > warm_seconds {
                assert_eq!(decided, active.len(), "only those with traffic are visited");
                ticks.push(processor_seconds() - begin);
            }
        }
    }
    let tick = median(&mut ticks);
    println!(
        "{size:>9} {:>8} {:>9} {:>11.3} {:>11.1} {:>10.1} {bytes:>10}",
        active.len(),
        if improvements == Improvements::none() { "none" } else { "all" },
        tick * 1e3,
        tick * 1e9 / active.len() as f64,
        median(&mut records) * 1e9 / active.len() as f64,
    );
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
