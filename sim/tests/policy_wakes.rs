//! The story: a policy of one's own was not asked any more once its revision had been quiet for two
//! windows, nor before the first request. One that starts an instance before a scheduled call
//! could not be simulated: it was asked at 619 of 900 ticks, and three of three calls were cold.
//!
//! A policy is asked at every tick unless it says that it need not be: it names the time at which
//! it wants to be asked next, or says that it only answers to events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_autoscaler::explain::{Decision, Detail, Explanation};
use tidegate_autoscaler::{NextWake, Outcome, Policy, TickInput, Timestamp};
use tidegate_sim::scenario::{CustomPolicy, StartUp};
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimResult, SimSpan, run};

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

/// Calls at these seconds, each of a second.
const CALLS_S: [u64; 3] = [250, 500, 750];
/// An instance is there from so long before a call until so long after it.
const LEAD_S: i64 = 10;
const SECONDS: u64 = 900;

/// Calls of a second each.
fn calls() -> Rows {
    Rows(CALLS_S.map(|second| (second * 1_000, 1_000)).to_vec())
}

/// How a schedule is kept.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// It looks at the clock whenever it is asked.
    Asked,
    /// It says when its next change is due.
    Names,
}

#[derive(Debug, Clone)]
struct Schedule {
    manner: Manner,
    asked: Arc<AtomicU64>,
    /// The time of the last decision.
    now_s: i64,
}

impl Schedule {
    fn changes() -> impl Iterator<Item = i64> {
        CALLS_S.into_iter().flat_map(|call| [call as i64 - LEAD_S, call as i64 + LEAD_S])
    }
}

impl Policy for Schedule {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.now_s = input.now.as_millis() / 1_000;
        let near = |call: u64| (-LEAD_S..LEAD_S).contains(&(self.now_s - call as i64));
        let desired = i32::from(CALLS_S.into_iter().any(near));
        Decision::new(Explanation {
            at: input.now,
            detail: Detail::Fixed { instances: desired.unsigned_abs() },
            outcome: Outcome { valid: true, desired, excess_burst_capacity: 0 },
            lifecycle: None,
        })
    }

    fn tick_interval_ms(&self) -> u64 {
        1_000
    }

    fn next_wake(&self) -> NextWake {
        match self.manner {
            Manner::Asked => NextWake::Tick,
            Manner::Names => Schedule::changes()
                .find(|change| *change > self.now_s)
                .map_or(NextWake::Event, |change| NextWake::At(Timestamp::from_secs(change))),
        }
    }
}

impl CustomPolicy for Schedule {
    fn name(&self) -> String {
        "schedule".to_owned()
    }

    fn policy(&self, _model: &RevisionModel) -> Box<dyn Policy + Send> {
        Box::new(self.clone())
    }
}

/// The result, and how often the policy was asked.
fn simulate(manner: Manner) -> (SimResult, u64) {
    let asked = Arc::new(AtomicU64::new(0));
    let schedule = Schedule { manner, asked: Arc::clone(&asked), now_s: -1 };
    let scenario = Scenario {
        duration: Some(SimSpan::from_secs(SECONDS)),
        revision: RevisionModel {
            policy: PolicyChoice::Custom(Arc::new(schedule)),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(2))),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    };
    let result = run(&scenario, &calls(), &mut ()).expect("it runs").result;
    (result, asked.load(Ordering::Relaxed))
}

#[test]
fn a_policy_is_asked_at_every_tick_also_while_its_revision_is_idle() {
    let (result, asked) = simulate(Manner::Asked);
    assert!(asked >= SECONDS, "asked {asked} times in {SECONDS} s");
    assert_eq!((result.completed, result.cold_starts), (3, 0));
}

#[test]
fn a_policy_that_names_its_next_wake_is_asked_then() {
    let (result, asked) = simulate(Manner::Names);
    assert_eq!((result.completed, result.cold_starts), (3, 0));
    // It has an instance for sixty of nine hundred seconds.
    assert!(asked < SECONDS, "asked {asked} times");
    assert!((result.instance_seconds - 3.0 * 2.0 * LEAD_S as f64).abs() < 6.0);
}
