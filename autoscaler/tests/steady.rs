//! While instances idle, a decision that is said to stay what it is stays so, and many seconds
//! without load that are recorded at once leave the same behind as one by one.

use proptest::prelude::*;
use tidegate_autoscaler::{
    Aggregation, DecisionSpec, MetricSpec, Observed, Origin, RevisionAutoscaler, RevisionSettings,
    Sample, ScalingMetric, Steady, Timestamp,
};

/// One second: its load, and the instances that are ready in it.
type Second = (f64, u32);

fn settings() -> impl Strategy<Value = RevisionSettings> {
    let target = prop::sample::select(vec![0.7, 1.0, 7.0, 70.0]);
    let burst = prop::sample::select(vec![-1.0, 0.0, 2.0, 211.0]);
    let metric = prop::bool::ANY;
    let scales = (0_i32..4, prop::sample::select(vec![1.1, 2.0, 10.0]));
    (target, burst, 6_u64..90, metric, scales).prop_map(
        |(target, burst, window_s, by_rate, (activation, down))| RevisionSettings {
            spec: DecisionSpec {
                target_value: target,
                total_value: target / 0.7,
                target_burst_capacity: burst,
                stable_window_ms: window_s * 1_000,
                scaling_metric: match by_rate {
                    true => ScalingMetric::RequestRate,
                    false => ScalingMetric::Concurrency,
                },
                activation_scale: activation,
                max_scale_down_rate: down,
                ..DecisionSpec::KNATIVE
            },
            metric: MetricSpec {
                stable_window_ms: window_s * 1_000,
                panic_window_ms: (window_s / 10).max(1) * 1_000,
                aggregation: Aggregation::Linear,
                scraped: true,
            },
            ..RevisionSettings::default()
        },
    )
}

fn seconds() -> impl Strategy<Value = Vec<Second>> {
    let load = prop_oneof![
        4 => Just(0.0),
        2 => 0.0..3.0_f64,
        1 => 0.0..1e-4_f64,
        1 => 0.0..500.0_f64,
    ];
    prop::collection::vec((load, 0_u32..6), 1..200)
}

fn record(autoscaler: &mut RevisionAutoscaler, second: i64, load: f64) {
    let sample = Sample::new(load, 0.0, (load * 3.0).floor(), 0.0).expect("a load");
    autoscaler.record(Timestamp::from_secs(second), Origin::Instances, &sample);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn what_is_steady_stays_and_is_caught_up_with(
        settings in settings(),
        seconds in seconds(),
        idle_s in 1_i64..200,
    ) {
        let mut autoscaler =
            RevisionAutoscaler::new(settings, Timestamp::from_secs(0), 0).expect("windows");
        let mut ready = 0;
        let mut last = 0;
        for (second, (load, instances)) in (2_i64..).zip(seconds) {
            ready = instances;
            last = second;
            record(&mut autoscaler, second, load);
            if second % 2 == 0 {
                let observed = Some(Observed::ready(ready));
                let _ = autoscaler.tick(Timestamp::from_secs(second), observed, &[]);
            }
        }
        let observed = Observed::ready(ready);
        if last % 2 == 1 {
            last += 1;
            record(&mut autoscaler, last, 0.0);
        }
        let decided = autoscaler.tick(Timestamp::from_secs(last), Some(observed), &[]);
        let until = match autoscaler.steady_until(Timestamp::from_secs(last), observed) {
            Steady::Unknown => return Ok(()),
            Steady::Until(until) => until,
            Steady::Always => Timestamp::from_secs(i64::MAX / 1_000),
        };
        let mut at_once = autoscaler.clone();
        let panics = autoscaler.panic();
        let (mut second, mut decided_at) = (last, last);
        while second < last + idle_s && Timestamp::from_secs(second + 1) < until {
            second += 1;
            record(&mut autoscaler, second, 0.0);
            if second % 2 == 0 {
                decided_at = second;
                let again = autoscaler.tick(Timestamp::from_secs(second), Some(observed), &[]);
                prop_assert_eq!(again.desired, decided.desired, "at {}", second);
                prop_assert_eq!(
                    again.excess_burst_capacity < 0,
                    decided.excess_burst_capacity < 0
                );
                prop_assert_eq!(autoscaler.panic(), panics);
            }
        }
        at_once.record_nothing_until(Timestamp::from_secs(decided_at));
        let _ = at_once.tick(Timestamp::from_secs(decided_at), Some(observed), &[]);
        at_once.record_nothing_until(Timestamp::from_secs(second));
        prop_assert_eq!(at_once, autoscaler);
    }
}
