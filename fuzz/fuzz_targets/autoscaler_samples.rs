//! Samples in any order and with any times, any settings in between: no panic and no decision that
//! its own explanation does not reproduce.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidegate_autoscaler::decide::decide;
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::{
    Aggregation, DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler,
    RevisionSettings, Sample, ScalingMetric, Signal, SignalKind, Timestamp,
};

#[derive(Debug, Arbitrary)]
enum Step {
    Record { at_ms: i64, by_activator: bool, figures: [f64; 4] },
    RecordNear { ahead_ms: i16, load: u16 },
    Tick { now_ms: i64, counts: Option<[u32; 3]>, signal: Option<[f64; 3]> },
    TickNear { ahead_ms: u16, ready: u8 },
    Spec([f64; 8], [u16; 3], [i32; 2], [bool; 2]),
    Metric { stable_ms: u32, panic_ms: u32, weighted: bool, scraped: bool },
    Switches(u16),
    StopCollecting,
    StartDeciding { now_ms: i64, ready: u32 },
}

fuzz_target!(|steps: Vec<Step>| {
    let settings = RevisionSettings::default();
    let start = Timestamp::from_secs(946_684_800);
    let mut autoscaler = RevisionAutoscaler::new(settings, start, 1).expect("default windows");
    let mut now = start;
    for step in steps {
        apply(&mut autoscaler, &mut now, step);
    }
});

fn apply(autoscaler: &mut RevisionAutoscaler, now: &mut Timestamp, step: Step) {
    match step {
        Step::Record { at_ms, by_activator, figures: [c, pc, r, pr] } => {
            let origin = if by_activator { Origin::Activator } else { Origin::Instances };
            if let Ok(sample) = Sample::new(c, pc, r, pr) {
                autoscaler.record(Timestamp::from_millis(at_ms), origin, &sample);
            }
        }
        Step::RecordNear { ahead_ms, load } => {
            let at = Timestamp::from_millis(now.as_millis().saturating_add(ahead_ms.into()));
            let sample = Sample::of_concurrency(load.into()).expect("a finite load");
            autoscaler.record(at, Origin::Instances, &sample);
        }
        Step::Tick { now_ms, counts, signal } => {
            *now = Timestamp::from_millis(now_ms);
            let observed = counts.map(|[ready, starting, requested]| Observed {
                ready,
                starting,
                requested,
                ..Observed::default()
            });
            let signal = signal.map(|[stable, panic, target]| Signal {
                kind: SignalKind::Cpu,
                stable,
                panic,
                target,
            });
            tick(autoscaler, *now, observed, signal.as_slice());
        }
        Step::TickNear { ahead_ms, ready } => {
            *now = now.plus_millis(ahead_ms.into());
            tick(autoscaler, *now, Some(Observed::ready(ready.into())), &[]);
        }
        Step::Spec(rates, times, scales, flags) => {
            autoscaler.set_spec(spec(rates, times, scales, flags));
        }
        Step::Metric { stable_ms, panic_ms, weighted, scraped } => {
            let metric = MetricSpec {
                stable_window_ms: stable_ms.into(),
                panic_window_ms: panic_ms.into(),
                aggregation: match weighted {
                    true => Aggregation::WeightedExponential,
                    false => Aggregation::Linear,
                },
                scraped,
            };
            // Windows that cannot be are refused; the old ones stay.
            let _ = autoscaler.set_metric(*now, metric);
        }
        Step::Switches(bits) => autoscaler.set_improvements(switches(bits)),
        Step::StopCollecting => autoscaler.stop_collecting(),
        Step::StartDeciding { now_ms, ready } => {
            autoscaler.start_deciding(Timestamp::from_millis(now_ms), ready);
        }
    }
}

fn tick(
    autoscaler: &mut RevisionAutoscaler,
    now: Timestamp,
    observed: Option<Observed>,
    signals: &[Signal],
) {
    let decision = autoscaler.tick(now, observed, signals);
    let Detail::Knative(trace) = &decision.explanation.detail else {
        panic!("a revision's autoscaler decides by Knative's algorithm")
    };
    assert_eq!(decide(&trace.inputs).outcome(), decision.outcome());
    assert!(!decision.explanation.to_string().is_empty());
    let _ = autoscaler.should_wake(1.0);
}

fn spec(rates: [f64; 8], times: [u16; 3], scales: [i32; 2], flags: [bool; 2]) -> DecisionSpec {
    DecisionSpec {
        max_scale_up_rate: rates[0],
        max_scale_down_rate: rates[1],
        target_value: rates[2],
        total_value: rates[3],
        target_burst_capacity: rates[4],
        activator_capacity: rates[5],
        panic_threshold: rates[6],
        burst_percentile: rates[7],
        stable_window_ms: times[0].into(),
        scale_down_delay_ms: times[1].into(),
        idle_floor_ms: times[2].into(),
        initial_scale: scales[0],
        activation_scale: scales[1],
        reachable: flags[0],
        scaling_metric: match flags[1] {
            true => ScalingMetric::RequestRate,
            false => ScalingMetric::Concurrency,
        },
    }
}

fn switches(bits: u16) -> Improvements {
    let bit = |place: u16| bits >> place & 1 == 1;
    Improvements {
        hold_in_silence: bit(0),
        count_starting: bit(1),
        burst_hysteresis: bit(2),
        average_reports: bit(3),
        keep_history: bit(4),
        wake_after_restart: bit(5),
        leave_panic_without_data: bit(6),
        idle_floor: bit(7),
        burst_percentile: bit(8),
        learn_pauses: bit(9),
        count_waiting: bit(10),
    }
}
