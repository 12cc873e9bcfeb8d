//! The HPA policy against Kubernetes' documentation of it.

#![expect(clippy::unwrap_used, reason = "settings that cannot be used fail the test")]

use tidegate_autoscaler::hpa::{
    HpaMetricSpec, HpaPolicy, HpaSettings, ScalingPolicy, ScalingRules, ScalingStep, SelectPolicy,
};
use tidegate_autoscaler::{
    Observed, Origin, Policy, Sample, Signal, SignalKind, TickInput, Timestamp,
};

const SYNC_S: i64 = 15;

fn signal(kind: SignalKind, total: f64) -> Signal {
    Signal { kind, stable: total, panic: total, target: 1.0 }
}

/// Ticks every 15 s with all replicas ready, carrying out what is decided.
struct World {
    policy: HpaPolicy,
    replicas: u32,
    now_s: i64,
}

impl World {
    fn new(settings: HpaSettings, replicas: u32) -> Self {
        Self { policy: HpaPolicy::new(settings).unwrap(), replicas, now_s: 0 }
    }

    fn tick(&mut self, signals: &[Signal]) -> Option<i32> {
        self.now_s += SYNC_S;
        let now = Timestamp::from_secs(self.now_s);
        let observed = Some(Observed::ready(self.replicas));
        let decision = self.policy.tick(&TickInput { now, observed, signals });
        assert!(!decision.explanation.to_string().is_empty());
        if !decision.valid {
            return None;
        }
        self.replicas = u32::try_from(decision.desired).unwrap();
        Some(decision.desired)
    }

    fn cpu(&mut self, total: f64) -> Option<i32> {
        self.tick(&[signal(SignalKind::Cpu, total)])
    }
}

fn cpu_at(target: f64, max_replicas: u32) -> HpaSettings {
    HpaSettings {
        metrics: vec![HpaMetricSpec { kind: SignalKind::Cpu, target }],
        max_replicas,
        ..HpaSettings::default()
    }
}

fn rules(
    select: SelectPolicy,
    stabilization_ms: u64,
    steps: &[(ScalingStep, u64)],
) -> ScalingRules {
    let policies = steps.iter().map(|&(step, s)| ScalingPolicy { step, period_ms: s * 1000 });
    ScalingRules { stabilization_ms, select, policies: policies.collect() }
}

#[test]
fn growth_doubles_or_adds_four_every_period_by_default() {
    let mut world = World::new(cpu_at(1.0, 100), 1);
    let recommendations: Vec<_> = (0..6).map(|_| world.cpu(80.0).unwrap()).collect();
    // From one: four more beat the double; from eight on the double beats four more.
    assert_eq!(recommendations, [5, 10, 20, 40, 80, 80]);
}

#[test]
fn shrinking_waits_for_five_minutes_of_agreement_by_default() {
    let mut world = World::new(cpu_at(1.0, 100), 10);
    assert_eq!(world.cpu(10.0), Some(10));
    let mut waited_s = 0;
    while world.cpu(2.0) == Some(10) {
        waited_s += SYNC_S;
        assert!(waited_s < 1000);
    }
    // The last recommendation of ten ages out 300 s after it was made.
    assert_eq!(waited_s + SYNC_S, 300);
    assert_eq!(world.replicas, 2);
}

#[test]
fn growth_waits_where_a_window_is_set_for_it() {
    let mut settings = cpu_at(1.0, 100);
    settings.scale_up.stabilization_ms = 60_000;
    let mut world = World::new(settings, 4);
    assert_eq!(world.cpu(4.0), Some(4));
    for _ in 0..3 {
        assert_eq!(world.cpu(8.0), Some(4), "a burst shorter than the window");
    }
    assert_eq!(world.cpu(8.0), Some(8));
}

#[test]
fn rates_count_what_was_done_within_their_period() {
    let mut settings = cpu_at(1.0, 100);
    settings.scale_down = rules(
        SelectPolicy::Max,
        0,
        &[(ScalingStep::Replicas(4), 60), (ScalingStep::Percent(10), 60)],
    );
    let mut world = World::new(settings, 80);
    let first: Vec<_> = (0..5).map(|_| world.cpu(10.0).unwrap()).collect();
    // The documentation's example: ten percent a minute while that is more than four.
    assert_eq!(first, [72, 72, 72, 72, 64]);
}

#[test]
fn the_least_policy_or_none_can_be_selected() {
    let steps = [(ScalingStep::Replicas(4), 60), (ScalingStep::Percent(10), 60)];
    let mut settings = cpu_at(1.0, 100);
    settings.scale_down = rules(SelectPolicy::Min, 0, &steps);
    let mut world = World::new(settings.clone(), 80);
    assert_eq!(world.cpu(10.0), Some(76));
    settings.scale_down.select = SelectPolicy::Disabled;
    let mut world = World::new(settings, 80);
    assert_eq!(world.cpu(10.0), Some(80));
}

#[test]
fn of_several_metrics_the_largest_recommendation_wins_and_half_the_truth_never_shrinks() {
    let mut settings = cpu_at(1.0, 100);
    settings.metrics.push(HpaMetricSpec { kind: SignalKind::Memory, target: 10.0 });
    settings.scale_down.stabilization_ms = 0;
    let mut world = World::new(settings, 4);
    let both = [signal(SignalKind::Cpu, 6.0), signal(SignalKind::Memory, 70.0)];
    assert_eq!(world.tick(&both), Some(7));
    assert_eq!(world.tick(&both[..1]), None, "memory might want more");
    assert_eq!(world.tick(&[signal(SignalKind::Cpu, 9.0)]), Some(9), "growth needs only one");
    assert_eq!(world.tick(&[]), None);
    let broken = [signal(SignalKind::Cpu, f64::NAN), signal(SignalKind::Memory, -1.0)];
    assert_eq!(world.tick(&broken), None);
}

#[test]
fn bounds_come_first_and_zero_switches_it_off() {
    let mut settings = cpu_at(1.0, 10);
    settings.min_replicas = 2;
    let mut world = World::new(settings, 50);
    assert_eq!(world.cpu(1.0), Some(10));
    assert_eq!(world.cpu(100.0), Some(10));
    world.replicas = 1;
    assert_eq!(world.cpu(100.0), Some(2));
    world.replicas = 0;
    assert_eq!(world.cpu(100.0), None);
    let now = Timestamp::from_secs(9999);
    let uncounted = TickInput { now, observed: None, signals: &[] };
    assert!(!world.policy.tick(&uncounted).valid);
}

#[test]
fn concurrency_is_averaged_from_the_samples() {
    let mut policy = HpaPolicy::new(HpaSettings::default()).unwrap();
    for second in 0..60 {
        let sample = Sample::of_concurrency(420.0).unwrap();
        policy.record(Timestamp::from_secs(second), Origin::Instances, &sample);
    }
    let now = Timestamp::from_secs(60);
    let observed = Some(Observed::ready(3));
    let decision = policy.tick(&TickInput { now, observed, signals: &[] });
    assert_eq!((decision.valid, decision.desired), (true, 6));
    let told = decision.explanation.to_string();
    assert_eq!(told, "6 instances: concurrency at 2 of the target on 3 makes 6.");
    assert_eq!(policy.tick_interval_ms(), 15_000);
    assert!(!policy.should_wake(5));
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = HpaSettings::default;
    let bad = [
        HpaSettings { min_replicas: 0, ..good() },
        HpaSettings { min_replicas: 11, ..good() },
        HpaSettings { metrics: Vec::new(), ..good() },
        HpaSettings { metrics_window_ms: 0, ..good() },
        HpaSettings { sync_period_ms: 0, ..good() },
        HpaSettings { scale_up: rules(SelectPolicy::Max, 0, &[]), ..good() },
        HpaSettings {
            scale_up: rules(SelectPolicy::Max, 0, &[(ScalingStep::Percent(0), 15)]),
            ..good()
        },
        HpaSettings {
            scale_down: rules(SelectPolicy::Max, 0, &[(ScalingStep::Percent(1), 1801)]),
            ..good()
        },
        cpu_at(0.0, 10),
        cpu_at(f64::NAN, 10),
    ];
    for settings in bad {
        let error = HpaPolicy::new(settings.clone()).unwrap_err();
        assert!(error.to_string().starts_with("hpa settings: "), "{settings:?}");
    }
}
