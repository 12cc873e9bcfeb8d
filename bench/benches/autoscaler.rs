//! What one decision, one record and one look into a window cost.
//!
//! `cargo bench -p tidegate-bench --bench autoscaler`. The names say which of Knative's own
//! benchmarks each is to be put beside; docs/benchmarks/autoscaler.md has the table.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use tidegate_autoscaler::collector::Averages;
use tidegate_autoscaler::window::Window;
use tidegate_autoscaler::window::max::MaxWindow;
use tidegate_autoscaler::{
    Aggregation, Improvements, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample,
    Timestamp,
};

const START_S: i64 = 946_684_800;

fn sample(second: i64) -> Sample {
    let load = 200.0 + (second % 17) as f64;
    Sample::new(load, 0.0, load * 2.0, 0.0).expect("a finite load")
}

/// An autoscaler whose windows are full.
fn warm(aggregation: Aggregation, improvements: Improvements) -> (RevisionAutoscaler, i64) {
    let mut settings = RevisionSettings { improvements, ..RevisionSettings::default() };
    settings.metric.aggregation = aggregation;
    let start = Timestamp::from_secs(START_S);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, 1).expect("default windows");
    let end = START_S + 90;
    for second in START_S..=end {
        autoscaler.record(Timestamp::from_secs(second), Origin::Instances, &sample(second));
    }
    (autoscaler, end)
}

fn decide(c: &mut Criterion) {
    let observed = Some(Observed::ready(3));
    let mut group = c.benchmark_group("decide");
    group.bench_function("given averages", |b| {
        let (mut autoscaler, end) = warm(Aggregation::Linear, Improvements::none());
        let now = Timestamp::from_secs(end);
        b.iter(|| {
            let averages = black_box(Averages { stable: 200.0, panic: 210.0 });
            autoscaler.tick_with(black_box(now), observed, Ok(averages), &[]).desired
        });
    });
    let cases = [
        ("60 s and 6 s windows, linear", Aggregation::Linear, Improvements::none()),
        ("60 s and 6 s windows, weighted", Aggregation::WeightedExponential, Improvements::none()),
        (
            "60 s and 6 s windows, linear, all improvements",
            Aggregation::Linear,
            Improvements::all(),
        ),
    ];
    for (name, aggregation, improvements) in cases {
        let (autoscaler, end) = warm(aggregation, improvements);
        for (lag_ms, when) in [(0, "same second"), (1000, "next second")] {
            let mut autoscaler = autoscaler.clone();
            let now = Timestamp::from_secs(end).plus_millis(lag_ms);
            group.bench_function(format!("{name}, {when}"), |b| {
                b.iter(|| autoscaler.tick(black_box(now), black_box(observed), &[]).desired);
            });
        }
    }
    group.finish();
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("record into all four windows");
    for (name, aggregation, improvements) in [
        ("linear", Aggregation::Linear, Improvements::none()),
        ("weighted", Aggregation::WeightedExponential, Improvements::none()),
        ("linear, all improvements", Aggregation::Linear, Improvements::all()),
    ] {
        let (warm, end) = warm(aggregation, improvements);
        group.bench_function(format!("{name}, same second"), |b| {
            let mut autoscaler = warm.clone();
            let (at, sample) = (Timestamp::from_secs(end), sample(end));
            b.iter(|| autoscaler.record(black_box(at), Origin::Instances, black_box(&sample)));
        });
        group.bench_function(format!("{name}, next second"), |b| {
            let mut autoscaler = warm.clone();
            let mut second = end;
            let sample = sample(end);
            b.iter(|| {
                second += 1;
                let at = Timestamp::from_secs(black_box(second));
                autoscaler.record(at, Origin::Instances, black_box(&sample));
            });
        });
    }
    group.finish();
}

fn windows(c: &mut Criterion) {
    let mut group = c.benchmark_group("window average");
    for (name, aggregation) in
        [("linear", Aggregation::Linear), ("weighted", Aggregation::WeightedExponential)]
    {
        for length_s in [6_u64, 60, 600, 3600] {
            let mut window =
                Window::<1>::new(aggregation, length_s * 1000, 1000).expect("a length");
            let end = START_S + length_s as i64 * 3 / 2;
            for second in START_S..=end {
                window.record(Timestamp::from_secs(second), [second as f64]);
            }
            let now = Timestamp::from_secs(end + 1);
            group.bench_function(format!("{name}, {length_s} s, last sample 1 s old"), |b| {
                b.iter(|| window.average(black_box(now), 0));
            });
        }
    }
    group.finish();
}

fn delay(c: &mut Criterion) {
    let mut group = c.benchmark_group("scale-down delay record");
    for (name, step) in [("ascending", 1_i64), ("descending", -1), ("scattered", 7919)] {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || (MaxWindow::new(300_000, 2_000), START_S, 500_i64),
                |(window, second, value)| {
                    for _ in 0..100 {
                        *second += 2;
                        *value = (*value + step).rem_euclid(1000);
                        window.record(Timestamp::from_secs(*second), *value as i32);
                    }
                    window.current()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decide, record, windows, delay);
criterion_main!(benches);
