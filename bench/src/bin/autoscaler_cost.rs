//! Repeats one operation of the autoscaler so that instructions can be counted from outside.
//!
//! `bench/autoscaler-instructions.sh` runs it under valgrind (or `perf stat`) with two different
//! numbers of repetitions; the difference, divided, is the cost of one.

use std::hint::black_box;
use std::process::ExitCode;

use tidegate_autoscaler::collector::Averages;
use tidegate_autoscaler::{
    Aggregation, Improvements, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample,
    Timestamp,
};

const START_S: i64 = 946_684_800;

/// The operations, by the names they are asked for.
const OPERATIONS: [&str; 6] = [
    "decide-given",
    "decide-linear",
    "decide-weighted",
    "decide-improved",
    "record-linear",
    "record-weighted",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [operation, repetitions] = arguments.as_slice() else { return usage() };
    let Ok(repetitions) = repetitions.parse::<u64>() else { return usage() };
    if !OPERATIONS.contains(&operation.as_str()) {
        return usage();
    }
    run(operation, repetitions);
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: autoscaler_cost {} REPETITIONS", OPERATIONS.join("|"));
    ExitCode::from(2)
}

fn run(operation: &str, repetitions: u64) {
    let weighted = operation.ends_with("weighted");
    let improved = operation.ends_with("improved");
    let mut settings = RevisionSettings {
        improvements: if improved { Improvements::all() } else { Improvements::none() },
        ..RevisionSettings::default()
    };
    if weighted {
        settings.metric.aggregation = Aggregation::WeightedExponential;
    }
    let start = Timestamp::from_secs(START_S);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, 1).expect("default windows");
    let sample = Sample::new(200.0, 0.0, 400.0, 0.0).expect("a finite load");
    let mut second = START_S;
    for _ in 0..90 {
        autoscaler.record(Timestamp::from_secs(second), Origin::Instances, &sample);
        second += 1;
    }
    let observed = Some(Observed::ready(3));
    for _ in 0..repetitions {
        if operation.starts_with("record") {
            let at = Timestamp::from_secs(black_box(second));
            autoscaler.record(at, Origin::Instances, black_box(&sample));
            second += 1;
        } else if operation == "decide-given" {
            let averages = black_box(Averages { stable: 200.0, panic: 210.0 });
            let now = Timestamp::from_secs(black_box(second));
            black_box(autoscaler.tick_with(now, observed, Ok(averages), &[]).desired);
        } else {
            let now = Timestamp::from_secs(black_box(second));
            black_box(autoscaler.tick(now, observed, &[]).desired);
        }
    }
}
