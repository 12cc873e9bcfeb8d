//! The worlds of the book's tables, and how each comes about.

use tidegate_autoscaler::driver::Path;
use tidegate_autoscaler::explain::Custom;
use tidegate_autoscaler::explain::{Decision, Detail, Explanation};
use tidegate_autoscaler::hpa::{HpaMetricSpec, HpaPolicy, HpaSettings};
use tidegate_autoscaler::lifecycle::ZeroScale;
use tidegate_autoscaler::settings::GoDuration;
use tidegate_autoscaler::{
    DecisionSpec, FixedPolicy, Improvements, KeepAlivePolicy, Observed, Outcome, Policy,
    RevisionAutoscaler, RevisionSettings, Signal, SignalKind, TickInput, Timestamp,
};

use super::world::{World, bounds, lifecycle, seen, settings};

/// A world by its name in the book, and what is said in it.
pub(crate) type Row = (&'static str, fn() -> String);

pub(crate) fn all() -> Vec<Row> {
    [REPORTS, RESTARTS, LOADS, PANIC, LIFECYCLE, OTHERS].concat()
}

/// What is known, and for how long.
const REPORTS: &[Row] = &[
    ("the first decision of a life, before any report", || World::new(1).words()),
    ("one second later", || World::new(1).busy(1, 3.0).words()),
    ("after 20 s", || World::new(1).busy(20, 3.0).words()),
    ("after 60 s", || World::new(1).busy(60, 3.0).words()),
    ("no report for 1 s", || World::new(1).busy(60, 3.0).silent(1).words()),
    ("no report for 10 s", || World::new(1).busy(60, 3.0).silent(10).words()),
    ("no report for 70 s", || World::new(1).busy(60, 3.0).silent(70).words()),
    ("no report for 10 s, where silence ages as in Knative", || {
        World::of(knative(), 1).busy(60, 3.0).silent(10).words()
    }),
    ("no reports are due, and none came for 60 s", || {
        World::of(unscraped(), 1).with(bounds(1, 0)).busy(20, 3.0).silent(60).words()
    }),
    ("the instances cannot be counted", || {
        let mut world = World::new(1).busy(20, 3.0);
        uncounted(world.driver.policy_mut(), world.now)
    }),
    ("collection is off", || {
        let mut world = World::new(1).busy(20, 3.0);
        world.driver.policy_mut().stop_collecting();
        world.words()
    }),
];

/// What is said right after a controller restarted and its reporters told it the past.
const RESTARTS: &[Row] = &[
    ("restarted after 20 s", || World::new(1).busy(20, 3.0).restarted().words()),
    ("restarted after 90 s", || World::new(1).busy(90, 3.0).restarted().words()),
    ("restarted while nothing was reported for 10 s", || {
        World::new(1).busy(90, 3.0).silent(10).restarted().words()
    }),
    ("restarted with three instances", || {
        World::new(3).busy(130, 15.0).ready(3).restarted().words()
    }),
    ("restarted in panic", || {
        World::new(1).busy(60, 3.0).busy(6, 30.0).ready(5).busy(11, 3.0).restarted().words()
    }),
    ("restarted when idle", || World::new(1).busy(200, 0.0).restarted().words()),
];

/// What the load needs, and what keeps the recommendation from that.
const LOADS: &[Row] = &[
    ("one request", || World::new(1).busy(60, 1.0).words()),
    ("next to nothing", || World::new(1).busy(60, 0.001).words()),
    ("a hair above what one can carry", || World::new(1).busy(60, 7.001).words()),
    ("requests a second", || by_rate().words()),
    ("growth is bounded", || World::of(growing(2.0), 1).busy(60, 30.0).ready(1).words()),
    ("shrinking is bounded", || World::of(knative(), 1).busy(60, 3.0).ready(9).words()),
    ("a load that was over half a minute ago", || {
        World::new(3).busy(60, 20.0).busy(30, 1.0).ready(3).words()
    }),
    ("a call every five minutes, 10 s ago", || every(300).busy(10, 0.0).words()),
    ("a call every seventy seconds, 64 s ago", || every(70).busy(64, 0.0).words()),
    ("a crowd before one instance", || World::new(1).busy(60, 3.0).crowded(10, 40).words()),
    ("a crowd that has just begun to go", || {
        World::of(no_bursts(), 9).busy(60, 0.0).busy(8, 35.0).busy(6, 0.0).ready(20).words()
    }),
    ("bursts", || World::new(1).busy(50, 1.0).busy(10, 12.0).ready(2).words()),
    ("an activation scale", || World::of(activation(3), 1).busy(60, 2.0).words()),
    ("an activation scale above what growth allows", || {
        World::of(
            RevisionSettings {
                spec: DecisionSpec { activation_scale: 4, ..growing(2.0).spec },
                ..growing(2.0)
            },
            1,
        )
        .busy(60, 30.0)
        .ready(1)
        .words()
    }),
    ("processor load needs most", || {
        let mut world = World::new(2).busy(60, 3.0);
        let (stable, panic) = (1800.0, 1800.0);
        world.signals = vec![Signal { kind: SignalKind::Cpu, stable, panic, target: 700.0 }];
        world.words()
    }),
    ("less than a delay ago more", || {
        World::of(delayed(), 3).busy(60, 20.0).busy(40, 3.0).ready(3).words()
    }),
    ("a burst begins to fit", || World::new(1).busy(60, 3.0).ready(6).words()),
    ("a burst no longer fits", || {
        let mut world = World::new(1).ready(6).busy(64, 3.0);
        world.observed = Observed::ready(5);
        world.words()
    }),
];

/// Panic, and instances that start.
const PANIC: &[Row] = &[
    ("the autoscaler has just found three instances", || World::new(3).busy(1, 3.0).words()),
    ("panic begins", || begins(World::new(1).busy(60, 3.0), 30.0)),
    ("panic begins while one instance starts", || {
        begins(World::new(1).busy(60, 3.0).seen(seen(1, 2)), 60.0)
    }),
    ("panic begins with none ready", || World::new(0).busy(3, 8.0).words_at_last()),
    ("panic lasts", || World::new(1).busy(60, 3.0).busy(6, 30.0).ready(5).busy(11, 3.0).words()),
    ("the last moment of panic", || World::new(3).busy(60, 3.0).words()),
    ("panic ends", || World::new(3).busy(62, 3.0).words_at_last()),
    ("panic ends in silence", || World::of(settings(), 3).silent(62).words_at_last()),
    ("most instances start", || starting(None)),
    ("most instances have just started, and it is known how long requests take", || {
        starting(Some(4.0))
    }),
];

/// What the lifecycle makes of a recommendation.
const LIFECYCLE: &[Row] = &[
    ("a minimum scale", || World::new(1).with(bounds(2, 0)).busy(20, 3.0).words()),
    ("a maximum scale", || World::new(2).with(bounds(0, 2)).busy(20, 30.0).words()),
    ("a maximum scale, and no reports", || {
        World::new(2).with(bounds(0, 2)).busy(30, 30.0).silent(70).words()
    }),
    ("an initial scale, nothing reported yet", || World::new(0).with(initial(3)).words()),
    ("a minimum scale, whole once, its instances gone before any report", || {
        let mut whole = World::new(2).with(bounds(2, 0));
        whole.tick();
        whole.silent(2).ready(0).silent(2).words()
    }),
    ("an initial scale that is not reached yet", || {
        World::new(0).with(initial(3)).busy(4, 3.0).words()
    }),
    ("idle before it was ever ready", || World::new(0).busy(1, 0.0).words()),
    ("idle, but active for 20 s only", || World::new(1).busy(20, 0.0).words()),
    ("idle behind an activator that is always in the path", || {
        World::new(1).busy(63, 0.0).words_at_last()
    }),
    ("at zero", || World::new(1).busy(63, 0.0).ready(0).words()),
    ("idle, and the activator is not in the path", || {
        World::new(1).by_switched(None).busy(63, 0.0).words_at_last()
    }),
    ("idle, and the activator came into the path 4 s ago", || switched(4)),
    ("idle, and the activator came into the path 29 s ago", || switched(29)),
    ("idle, and the activator has long been in the path", || switched(60)),
    ("idle for the grace period", || World::new(1).by_switched(None).busy(92, 0.0).words_at_last()),
    ("idle, and the last instance is retained", || {
        World::new(1).with(retained(90)).busy(64, 0.0).words_at_last()
    }),
    ("idle, scale to zero is switched off", || {
        World::new(1).with(never_zero()).busy(64, 0.0).words_at_last()
    }),
    ("never ready within its time", || {
        World::new(1).seen(seen(0, 1)).busy(635, 0.0).words_at_last()
    }),
];

/// Other deciders.
const OTHERS: &[Row] = &[
    ("a fixed number", || World::decided_by(FixedPolicy::new(1), 1).words()),
    ("one request an instance", || {
        World::decided_by(KeepAlivePolicy::new(60_000), 1).seen(at_once(2, 1)).words()
    }),
    ("one request an instance, and less than before", || {
        let mut world = World::decided_by(KeepAlivePolicy::new(60_000), 1).seen(at_once(3, 0));
        let _ = world.tick();
        world.seen(at_once(1, 0)).words()
    }),
    ("one request an instance, not counted", || {
        uncounted(&mut KeepAlivePolicy::new(60_000), Timestamp::EPOCH)
    }),
    ("a decider of one's own", || World::decided_by(Own(Some(4)), 1).words()),
    ("a decider of one's own that knows nothing", || World::decided_by(Own(None), 1).words()),
    ("the HPA grows", || hpa(seen(4, 4), 0.75 * 4.0)),
    ("the HPA keeps", || hpa(seen(4, 4), 0.53 * 4.0)),
    ("the HPA grows while replicas start", || hpa(seen(3, 6), 1.5 * 3.0)),
    ("the HPA keeps while replicas start", || hpa(seen(3, 6), 1.0 * 3.0)),
    ("the HPA doubts", || hpa(seen(3, 6), 0.8 * 3.0)),
    ("the HPA has none ready", || hpa(seen(0, 2), 1.0)),
    ("the HPA knows no metric", || hpa(seen(2, 2), f64::NAN)),
    ("the HPA knows half of its metrics", || two_metrics(seen(4, 4), 0.2 * 4.0)),
    ("the HPA is at zero", || hpa(seen(0, 0), 1.0)),
    ("the HPA finds too many", || hpa(seen(12, 12), 1.0)),
    ("the HPA finds too few", || hpa(seen(1, 1), 1.0)),
    ("the HPA is stabilized", || hpa_after(2.0 * 4.0, 4, 0.3 * 4.0, |_| {})),
    ("the HPA is bounded by its policies", || hpa(seen(4, 4), 3.0 * 4.0)),
    ("the HPA is bounded by its maximum", || hpa(seen(6, 6), 3.0 * 6.0)),
    ("the HPA is bounded by its minimum", || {
        hpa_after(0.5 * 4.0, 4, 0.1 * 4.0, |s| s.scale_down.stabilization_ms = 0)
    }),
    ("the HPA cannot count", || uncounted(&mut hpa_policy(|_| {}), Timestamp::EPOCH)),
];

fn knative() -> RevisionSettings {
    RevisionSettings { improvements: Improvements::none(), ..settings() }
}

fn unscraped() -> RevisionSettings {
    let mut settings = knative();
    settings.metric.scraped = false;
    settings
}

fn growing(max_scale_up_rate: f64) -> RevisionSettings {
    let spec = DecisionSpec { max_scale_up_rate, panic_threshold: 100.0, ..settings().spec };
    RevisionSettings { spec, ..settings() }
}

fn activation(activation_scale: i32) -> RevisionSettings {
    RevisionSettings { spec: DecisionSpec { activation_scale, ..settings().spec }, ..settings() }
}

fn delayed() -> RevisionSettings {
    let spec = DecisionSpec { scale_down_delay_ms: 300_000, ..settings().spec };
    RevisionSettings { spec, ..settings() }
}

fn no_bursts() -> RevisionSettings {
    let mut settings = settings();
    settings.improvements.burst_percentile = false;
    settings
}

fn by_rate() -> World<RevisionAutoscaler> {
    let spec = DecisionSpec {
        scaling_metric: tidegate_autoscaler::ScalingMetric::RequestRate,
        target_value: 150.0,
        total_value: 200.0,
        ..settings().spec
    };
    let mut world = World::of(RevisionSettings { spec, ..settings() }, 1);
    for _ in 0..60 {
        world.report(1.0, 130.0);
        world = world.silent(1);
    }
    world
}

/// So many requests in flight in each of the last three seconds.
fn begins(mut world: World<RevisionAutoscaler>, load: f64) -> String {
    for _ in 0..3 {
        world.report(load, 0.0);
        world.now = world.now.plus_millis(1_000);
    }
    world.words()
}

/// One instance is ready and four start, after a minute in which a request took `request_s`.
fn starting(request_s: Option<f64>) -> String {
    let settings = if request_s.is_some() { no_bursts() } else { growing(1000.0) };
    let mut world = World::of(settings, 1);
    for _ in 0..60 {
        world.report(4.0, request_s.map_or(0.0, |seconds| 4.0 / seconds));
        world = world.silent(1);
    }
    world = world.seen(seen(1, 3));
    for _ in 0..30 {
        world.report(60.0, request_s.map_or(0.0, |seconds| 8.0 / seconds));
        world = world.silent(1);
    }
    world.words()
}

fn initial(initial_scale: i32) -> tidegate_autoscaler::LifecycleSpec {
    tidegate_autoscaler::LifecycleSpec { initial_scale, ..lifecycle() }
}

fn retained(seconds: i64) -> tidegate_autoscaler::LifecycleSpec {
    let retention = GoDuration::from_seconds(seconds);
    tidegate_autoscaler::LifecycleSpec { retention, ..lifecycle() }
}

fn never_zero() -> tidegate_autoscaler::LifecycleSpec {
    tidegate_autoscaler::LifecycleSpec { zero_scale: ZeroScale::Forbidden, ..lifecycle() }
}

/// Idle for 64 s, with an activator that came into the path so many seconds ago.
fn switched(seconds: u64) -> String {
    let mut world = World::new(1).by_switched(None).busy(64, 0.0);
    let since = world.now.minus_millis(seconds * 1_000);
    world.path = Path::Switched { activator_since: Some(since) };
    world.words()
}

impl<P: Policy> World<P> {
    fn by_switched(mut self, activator_since: Option<Timestamp>) -> Self {
        self.path = Path::Switched { activator_since };
        self
    }

    /// What the last decision in turn said.
    fn words_at_last(mut self) -> String {
        self.last.take().expect("a decision was in turn")
    }
}

fn uncounted(policy: &mut impl Policy, now: Timestamp) -> String {
    policy.tick(&TickInput { now, observed: None, signals: &[] }).explanation.to_string()
}

fn at_once(in_flight: u32, waiting: u32) -> Observed {
    Observed { in_flight, waiting, ..Observed::ready(1) }
}

struct Own(Option<i32>);

impl Policy for Own {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let account = Custom::new("per request").with("requests", 8.0).with("instances each", 0.5);
        let desired = self.0.unwrap_or(0);
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Custom(account),
            outcome: Outcome { valid: self.0.is_some(), desired, excess_burst_capacity: 0 },
            lifecycle: None,
        })
    }
}

fn hpa_policy(change: impl FnOnce(&mut HpaSettings)) -> HpaPolicy {
    let mut settings = HpaSettings {
        metrics: vec![HpaMetricSpec { kind: SignalKind::Cpu, target: 0.5 }],
        min_replicas: 2,
        max_replicas: 10,
        ..HpaSettings::default()
    };
    change(&mut settings);
    HpaPolicy::new(settings).expect("sound settings")
}

fn cpu(total: f64) -> Signal {
    Signal { kind: SignalKind::Cpu, stable: total, panic: total, target: 0.5 }
}

fn hpa(observed: Observed, total: f64) -> String {
    let now = Timestamp::from_secs(15);
    let input = TickInput { now, observed: Some(observed), signals: &[cpu(total)] };
    hpa_policy(|_| {}).tick(&input).explanation.to_string()
}

fn two_metrics(observed: Observed, total: f64) -> String {
    let memory = HpaMetricSpec { kind: SignalKind::Memory, target: 1.0 };
    let now = Timestamp::from_secs(15);
    let input = TickInput { now, observed: Some(observed), signals: &[cpu(total)] };
    let mut policy = hpa_policy(|settings| settings.metrics.push(memory));
    policy.tick(&input).explanation.to_string()
}

/// What is said of `total` 15 s after a decision of `before`, with so many replicas.
fn hpa_after(before: f64, replicas: u32, total: f64, change: fn(&mut HpaSettings)) -> String {
    let mut policy = hpa_policy(change);
    let observed = Some(Observed::ready(replicas));
    let mut told = String::new();
    for (second, total) in [(15, before), (30, total)] {
        let input =
            TickInput { now: Timestamp::from_secs(second), observed, signals: &[cpu(total)] };
        told = policy.tick(&input).explanation.to_string();
    }
    told
}

/// One call, over within its second, four times with so many seconds from one to the next.
fn every(period_s: u64) -> World<RevisionAutoscaler> {
    let calls = (0..3)
        .fold(World::of(no_bursts(), 1), |world, _| world.busy(1, 1.0).busy(period_s - 1, 0.0));
    calls.busy(1, 1.0)
}
