//! What a revision occupies, and that recording and deciding allocate nothing.
//!
//! One test only: the allocator's counts are the whole process's.

use std::alloc::System;
use std::sync::Arc;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidegate_autoscaler::{
    Aggregation, Improvements, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample,
    Signal, SignalKind, Timestamp,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START_S: i64 = 946_684_800;

/// Bytes a revision with default windows may occupy.
const MAX_BYTES: usize = 1536;

#[test]
fn a_revision_is_small_and_works_without_allocating() {
    let start = Timestamp::from_secs(START_S);
    let settings = Arc::new(RevisionSettings::default());

    let count = 5000;
    let region = Region::new(ALLOCATOR);
    let mut revisions = Vec::with_capacity(count);
    for _ in 0..count {
        let made = RevisionAutoscaler::new(Arc::clone(&settings), start, 1);
        revisions.push(made.expect("default windows"));
    }
    let change = region.change();
    let bytes = (change.bytes_allocated - change.bytes_deallocated) / count;
    println!("{bytes} bytes per revision");
    assert!(bytes <= MAX_BYTES, "{bytes} bytes per revision");

    for improvements in [Improvements::none(), Improvements::all()] {
        for aggregation in [Aggregation::Linear, Aggregation::WeightedExponential] {
            works_without_allocating(improvements, aggregation, start);
        }
    }
}

fn works_without_allocating(
    improvements: Improvements,
    aggregation: Aggregation,
    start: Timestamp,
) {
    let mut settings = RevisionSettings { improvements, ..RevisionSettings::default() };
    settings.metric.aggregation = aggregation;
    settings.spec.scale_down_delay_ms = 300_000;
    let mut autoscaler = RevisionAutoscaler::new(settings, start, 3).expect("default windows");
    let latency = Signal { kind: SignalKind::Latency, stable: 3.0, panic: 4.0, target: 1.0 };
    let region = Region::new(ALLOCATOR);
    let mut recommendations = 0_i64;
    for second in 0..2_000_i64 {
        let now = Timestamp::from_secs(START_S + second + second / 97 * 5);
        let load = ((second * 7919) % 1000) as f64;
        let sample = Sample::new(load, 0.0, load, 0.0).expect("a finite load");
        autoscaler.record(now, Origin::Instances, &sample);
        autoscaler.record(now.minus_millis(3_000), Origin::Activator, &sample);
        let observed = Some(Observed::ready((second % 50) as u32));
        recommendations +=
            i64::from(autoscaler.tick(now.plus_millis(700), observed, &[latency]).desired);
    }
    let change = region.change();
    assert!(recommendations > 0);
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");
}
