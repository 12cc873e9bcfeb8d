//! Any samples at any times under any settings: no panic, and what is decided is explained.

use proptest::prelude::*;
use tidegate_autoscaler::decide::decide;
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::{
    Aggregation, DecisionSpec, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler,
    RevisionSettings, Sample, ScalingMetric, Timestamp,
};

#[derive(Debug, Clone)]
enum Step {
    Record(i64, bool, [f64; 4]),
    Tick(i64, Option<[u32; 3]>),
    Spec(DecisionSpec),
    Metric(MetricSpec),
    Switches(bool),
    StopCollecting,
}

/// Mostly near one another, sometimes anywhere at all.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0_i64..300_000, 1 => any::<i64>()]
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1e4_f64, 1 => any::<f64>()]
}

fn any_spec() -> impl Strategy<Value = DecisionSpec> {
    (
        prop::array::uniform8(any_number()),
        prop::array::uniform3(prop_oneof![0_u64..100_000, any::<u64>()]),
        any::<[i32; 2]>(),
        any::<[bool; 2]>(),
    )
        .prop_map(|(rates, times, scales, flags)| DecisionSpec {
            max_scale_up_rate: rates[0],
            max_scale_down_rate: rates[1],
            target_value: rates[2],
            total_value: rates[3],
            target_burst_capacity: rates[4],
            activator_capacity: rates[5],
            panic_threshold: rates[6],
            burst_percentile: rates[7],
            stable_window_ms: times[0],
            scale_down_delay_ms: times[1] % 1_000_000,
            idle_floor_ms: times[2],
            initial_scale: scales[0],
            activation_scale: scales[1],
            reachable: flags[0],
            scaling_metric: match flags[1] {
                true => ScalingMetric::RequestRate,
                false => ScalingMetric::Concurrency,
            },
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let metric = (any::<[u16; 2]>(), any::<[bool; 2]>()).prop_map(|(lengths, flags)| MetricSpec {
        stable_window_ms: u64::from(lengths[0]),
        panic_window_ms: u64::from(lengths[1]),
        aggregation: match flags[0] {
            true => Aggregation::WeightedExponential,
            false => Aggregation::Linear,
        },
        scraped: flags[1],
    });
    let figures = prop::array::uniform4(any_number());
    prop_oneof![
        8 => (any_time(), any::<bool>(), figures).prop_map(|(t, a, f)| Step::Record(t, a, f)),
        8 => (any_time(), any::<Option<[u32; 3]>>()).prop_map(|(t, c)| Step::Tick(t, c)),
        1 => any_spec().prop_map(Step::Spec),
        1 => metric.prop_map(Step::Metric),
        1 => any::<bool>().prop_map(Step::Switches),
        1 => Just(Step::StopCollecting),
    ]
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        weighted in any::<bool>(),
        better in any::<bool>(),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut settings = RevisionSettings::default();
        if weighted {
            settings.metric.aggregation = Aggregation::WeightedExponential;
        }
        if better {
            settings.improvements = Improvements::all();
        }
        let mut autoscaler = RevisionAutoscaler::new(settings, Timestamp::EPOCH, 3).unwrap();
        for step in steps {
            apply(&mut autoscaler, step)?;
        }
    }
}

fn apply(autoscaler: &mut RevisionAutoscaler, step: Step) -> Result<(), TestCaseError> {
    match step {
        Step::Record(at_ms, activator, [c, pc, r, pr]) => {
            let origin = if activator { Origin::Activator } else { Origin::Instances };
            if let Ok(sample) = Sample::new(c, pc, r, pr) {
                autoscaler.record(Timestamp::from_millis(at_ms), origin, &sample);
            }
        }
        Step::Tick(now_ms, counts) => {
            let now = Timestamp::from_millis(now_ms);
            let observed = counts.map(|[ready, starting, requested]| Observed {
                starting,
                requested,
                ..Observed::ready(ready)
            });
            let decision = autoscaler.tick(now, observed, &[]);
            let Detail::Knative(trace) = &decision.explanation.detail else { unreachable!() };
            prop_assert_eq!(decide(&trace.inputs).outcome(), decision.outcome());
            prop_assert!(!decision.explanation.to_string().is_empty());
            let _ = autoscaler.should_wake(1.0);
        }
        Step::Spec(spec) => autoscaler.set_spec(spec),
        // Windows that cannot be are refused; the old ones stay.
        Step::Metric(metric) => drop(autoscaler.set_metric(Timestamp::EPOCH, metric)),
        Step::Switches(all) => autoscaler.set_improvements(match all {
            true => Improvements::all(),
            false => Improvements::none(),
        }),
        Step::StopCollecting => autoscaler.stop_collecting(),
    }
    Ok(())
}
