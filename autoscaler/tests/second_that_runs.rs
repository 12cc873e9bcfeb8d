//! What waits at a decision is load of the second that runs.
//!
//! The story: the averages of seconds are recorded when these end, and what waits is recorded at
//! once, into the bucket of the same moment. Where the average of the second before lay in that
//! bucket too, both were added up: with five requests in flight, as in the second before, a panic
//! window of one second held ten, and there were twice the instances for a whole window. It
//! depended on how far into a second of its clock the controller had begun to decide.

#![expect(clippy::unwrap_used, reason = "what is made here is valid")]

use tidegate_autoscaler::driver::{ClusterView, Driver, Path};
use tidegate_autoscaler::explain::Detail;
use tidegate_autoscaler::lifecycle::{DEFAULT_PROGRESS_DEADLINE, Lifecycle, LifecycleSpec};
use tidegate_autoscaler::settings::{Config, Overrides, Reachability, Resolved, Workload};
use tidegate_autoscaler::{
    Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample,
    Timestamp,
};

/// The shortest stable window there is; its panic window is one second long.
const WINDOW_MS: u64 = 6_000;

/// Averages of the stable and of the panic window in a decision made `into_second_ms` after a whole
/// second, when 5 requests are in flight of which one waits, as many as in each second before.
fn averages(into_second_ms: u64) -> (f64, f64) {
    let metric = MetricSpec {
        stable_window_ms: WINDOW_MS,
        panic_window_ms: WINDOW_MS / 10,
        ..MetricSpec::default()
    };
    let settings = RevisionSettings {
        metric,
        improvements: Improvements::all(),
        ..RevisionSettings::default()
    };
    let begin = Timestamp::from_secs(1_000_000);
    let policy = RevisionAutoscaler::new(settings, begin, 1).unwrap();
    let mut driver = Driver::new(policy, Lifecycle::new(1), begin);
    for second in 1..=10 {
        let ends = begin.plus_millis(second * 1_000);
        driver.record(ends, Origin::Activator, &Sample::of_concurrency(5.0).unwrap());
    }
    let config = Config::default();
    let workload = Workload { container_concurrency: 4, reachability: Reachability::Reachable };
    let resolved = Resolved::new(&config, &Overrides::default(), workload);
    let deadline = DEFAULT_PROGRESS_DEADLINE;
    let spec = LifecycleSpec::new(&config, &resolved, Reachability::Reachable, deadline);
    let scene = ClusterView {
        observed: Observed { in_flight: 4, waiting: 1, ..Observed::ready(1) },
        at_activators: Some(5.0),
        signals: &[],
        path: Path::ThroughActivator,
    };
    let now = begin.plus_millis(10_000 + into_second_ms);
    let (decision, _) = driver.tick(now, &scene, &spec);
    let Detail::Knative(trace) = &decision.explanation.detail else {
        unreachable!("it is Knative's")
    };
    let signal = trace.inputs.signals.as_slice().first().unwrap();
    (signal.stable, signal.panic)
}

#[test]
fn what_waits_is_not_added_to_the_second_before() {
    for into_second_ms in [1, 250, 499, 500, 750, 999] {
        assert_eq!(averages(into_second_ms), (5.0, 5.0), "{into_second_ms} ms into a second");
    }
}
