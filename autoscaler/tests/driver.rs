//! The driver decides in turn and out of turn, and says what follows.
//!
//! The story: the controller and the simulator each had this rule in code of their own, with
//! constants copied by hand, and the copies had drifted: the simulator closed no seconds of what
//! no revision acted on, and looked at a revision at rest.

use tidegate_autoscaler::driver::{ClusterView, Driver, Path, URGENT_GAP_MS, Urgency};
use tidegate_autoscaler::explain::{Custom, Decision, Detail, Explanation};
use tidegate_autoscaler::lifecycle::{DEFAULT_PROGRESS_DEADLINE, Lifecycle, LifecycleSpec};
use tidegate_autoscaler::settings::{
    Config, GoDuration, Overrides, Reachability, Resolved, Workload,
};
use tidegate_autoscaler::{Observed, Origin, Outcome, Policy, Sample, TickInput, Timestamp};

/// Recommends as many instances as there were requests in the last two things it was told.
#[derive(Default)]
struct Counting {
    recorded: Vec<f64>,
    wakes: bool,
}

impl Policy for Counting {
    fn record(&mut self, _: Timestamp, _: Origin, sample: &Sample) {
        self.recorded.push(sample.concurrency());
    }

    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let desired = self.recorded.iter().rev().take(2).sum::<f64>() as i32;
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Custom(Custom::new("counting")),
            outcome: Outcome { valid: true, desired, excess_burst_capacity: 0 },
            lifecycle: None,
        })
    }

    fn should_wake(&self, waiting: u32) -> bool {
        self.wakes && waiting > 0
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::EPOCH.plus_millis(1_000_000 + millis)
}

fn spec() -> LifecycleSpec {
    let config = Config::default();
    let workload = Workload { container_concurrency: 0, reachability: Reachability::Reachable };
    let resolved = Resolved::new(&config, &Overrides::default(), workload);
    let deadline = DEFAULT_PROGRESS_DEADLINE;
    let spec = LifecycleSpec::new(&config, &resolved, Reachability::Reachable, deadline);
    LifecycleSpec { stable_window: GoDuration::from_seconds(6), ..spec }
}

fn driver() -> Driver<Counting> {
    Driver::new(Counting::default(), Lifecycle::new(0), at(0))
}

/// `waiting` requests wait and `held` are at activators, while `ready` instances are.
fn scene(ready: u32, waiting: u32, held: f64) -> ClusterView<'static> {
    ClusterView {
        observed: Observed { waiting, ..Observed::ready(ready) },
        at_activators: Some(held),
        signals: &[],
        path: Path::ThroughActivator,
    }
}

#[test]
fn decisions_in_turn_count_from_the_last_whatever_caused_it() {
    let mut driver = driver();
    assert_eq!(driver.next_due(), at(0));
    let _ = driver.tick(at(0), &scene(0, 0, 0.0), &spec());
    assert_eq!(driver.next_due(), at(2_000));
    let _ = driver.tick(at(700), &scene(0, 0, 0.0), &spec());
    assert_eq!(driver.next_due(), at(2_700));
    driver.postpone(at(9_000));
    assert_eq!(driver.next_due(), at(9_000));
}

#[test]
fn requests_that_wait_are_decided_about_at_once_but_not_all_the_time() {
    let mut driver = driver();
    assert_eq!(driver.urge(at(0), 3), Urgency::Now);
    let _ = driver.tick(at(0), &scene(1, 0, 0.0), &spec());
    assert_eq!(driver.urge(at(40), 3), Urgency::At(at(URGENT_GAP_MS)));
    assert_eq!(driver.next_due(), at(URGENT_GAP_MS), "the decision in turn is brought forward");
    let _ = driver.tick(at(URGENT_GAP_MS), &scene(1, 0, 0.0), &spec());
    let next = at(2 * URGENT_GAP_MS);
    assert_eq!(driver.urge(at(URGENT_GAP_MS + 1), 3), Urgency::At(next), "that was for them");
    assert_eq!(driver.urge(next, 3), Urgency::Now);
    driver.policy_mut().wakes = true;
    assert_eq!(driver.urge(at(URGENT_GAP_MS + 1), 3), Urgency::Now, "the policy wants to be woken");
}

/// One line in twenty forms within a tenth of a second after a decision in turn. It waited for the
/// rest of that, up to 100 ms, where a line is otherwise decided about within one.
#[test]
fn a_decision_in_turn_a_moment_ago_makes_nobody_wait() {
    let mut driver = driver();
    let _ = driver.tick(at(0), &scene(1, 0, 0.0), &spec());
    assert_eq!(driver.urge(at(1), 3), Urgency::Now);
    let _ = driver.tick(at(1), &scene(1, 3, 0.0), &spec());
    assert_eq!(driver.urge(at(2), 4), Urgency::At(at(1 + URGENT_GAP_MS)));
}

#[test]
fn what_is_held_counts_at_once_and_only_once() {
    let mut driver = driver();
    let (decision, followed) = driver.tick(at(0), &scene(0, 5, 7.0), &spec());
    assert_eq!((decision.desired, followed.replicas), (7, 7));
    let _ = driver.tick(at(100), &scene(0, 6, 9.0), &spec());
    assert_eq!(driver.policy().recorded, [7.0, 2.0], "what has come since");
    let _ = driver.tick(at(200), &scene(0, 0, 20.0), &spec());
    assert_eq!(driver.policy().recorded.len(), 2, "no request waits");
    assert_eq!(driver.take_rest(10.0), 1.0, "the second's average without what was told early");
    assert_eq!(driver.take_rest(10.0), 10.0, "the next second is another");
    let _ = driver.tick(at(1_000), &scene(0, 4, 4.0), &spec());
    driver.wake(at(60_000));
    assert_eq!(driver.take_rest(3.0), 3.0, "that second is long over");
    assert_eq!(driver.next_due(), at(60_000 + URGENT_GAP_MS));
}

#[test]
fn where_the_activator_is_always_in_the_path_the_last_instance_goes_in_one_step() {
    let mut spec = spec();
    spec.retention = GoDuration::ZERO;
    let mut driver = driver();
    driver.record(at(0), Origin::Activator, &Sample::of_concurrency(1.0).expect("valid"));
    let (_, followed) = driver.tick(at(0), &scene(1, 0, 0.0), &spec);
    assert_eq!((followed.before, followed.replicas), (0, 1));
    for _ in 0..2 {
        driver.record(at(1_000), Origin::Activator, &Sample::IDLE);
    }
    let idle_from = at(8_000);
    let _ = driver.tick(at(2_000), &scene(1, 0, 0.0), &spec);
    let (_, followed) = driver.tick(idle_from, &scene(1, 0, 0.0), &spec);
    assert_eq!((followed.before, followed.replicas), (1, 0));
    assert!(driver.wants_nothing());
}

#[test]
fn without_a_lifecycle_the_recommendation_is_followed_within_the_bounds() {
    let mut spec = spec();
    spec.bounds.max = 4;
    let mut driver = Driver::within_bounds(Counting::default(), at(0));
    let (decision, followed) = driver.tick(at(0), &scene(0, 9, 9.0), &spec);
    assert_eq!((decision.desired, followed.replicas, followed.step), (9, 4, None));
}
