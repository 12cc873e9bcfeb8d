//! A fleet decides what its revisions would decide alone, and visits only those that must be.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use tidegate_autoscaler::instances::{InstanceCounts, InstanceState};
use tidegate_autoscaler::{
    DecisionSpec, Fleet, Improvements, MetricSpec, Observed, Origin, RevisionAutoscaler,
    RevisionSettings, Sample, Timestamp,
};

const START_MS: i64 = 946_684_800_000;

fn settings(better: bool, burst: f64, delay_s: u64) -> RevisionSettings {
    RevisionSettings {
        spec: DecisionSpec {
            stable_window_ms: 10_000,
            target_burst_capacity: burst,
            scale_down_delay_ms: delay_s * 1000,
            ..DecisionSpec::default()
        },
        metric: MetricSpec {
            stable_window_ms: 10_000,
            panic_window_ms: 2_000,
            scraped: burst >= 0.0,
            ..MetricSpec::default()
        },
        improvements: if better { Improvements::all() } else { Improvements::none() },
    }
}

proptest! {
    /// Bursts of reports and silence; whoever is not visited would not have changed.
    #[test]
    fn a_fleet_decides_what_its_revisions_decide_alone(
        better in any::<bool>(),
        burst in prop::sample::select(vec![-1.0, 0.0, 211.0]),
        delay_s in prop::sample::select(vec![0_u64, 6]),
        seconds in prop::collection::vec(
            prop::collection::vec((0_usize..100, 0_u32..400, 0_u32..4), 0..6),
            1..60,
        ),
    ) {
        let settings = Arc::new(settings(better, burst, delay_s));
        let start = Timestamp::from_millis(START_MS);
        let mut fleet = Fleet::new(start);
        let (mut ids, mut alone) = (Vec::new(), Vec::new());
        let mut observed = vec![Observed::ready(1); 100];
        for _ in 0..100 {
            ids.push(fleet.insert(start, Arc::clone(&settings), Observed::ready(1)).unwrap());
            alone.push(RevisionAutoscaler::new(Arc::clone(&settings), start, 1).unwrap());
        }
        for (second, reports) in seconds.iter().enumerate() {
            let at = Timestamp::from_millis(START_MS + second as i64 * 1000);
            for &(revision, load, ready) in reports {
                let load = load.saturating_sub(200);
                let sample = Sample::of_concurrency(f64::from(load)).unwrap();
                fleet.record(ids[revision], at, Origin::Instances, &sample);
                alone[revision].record(at, Origin::Instances, &sample);
                observed[revision] = Observed::ready(ready);
                fleet.observe(ids[revision], observed[revision]);
            }
            for step in 0..10 {
                let now = at.plus_millis(step * 100 + 50);
                let mut visited = BTreeMap::new();
                fleet.advance(now, |visit| {
                    visited.insert(visit.id, visit.decision.outcome());
                });
                let phase = (now.as_millis().div_euclid(100)).rem_euclid(20) as usize;
                for (index, id) in ids.iter().enumerate() {
                    if index / 64 % 20 != phase {
                        continue;
                    }
                    let before = (alone[index].status(), alone[index].panic());
                    let decision = alone[index].tick(now, Some(observed[index]), &[]);
                    match visited.get(id) {
                        Some(visited) => prop_assert_eq!(visited, &decision.outcome()),
                        None => {
                            let after = (alone[index].status(), alone[index].panic());
                            prop_assert_eq!(before, after);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn idle_revisions_come_to_rest_and_get_up_again() {
    let start = Timestamp::from_millis(START_MS);
    let mut fleet = Fleet::new(start);
    let settings = Arc::new(settings(true, 211.0, 0));
    let ids: Vec<_> = (0..1000)
        .map(|_| fleet.insert(start, Arc::clone(&settings), Observed::default()).unwrap())
        .collect();
    assert_eq!(fleet.active(), 1000);
    fleet.advance(start.plus_millis(2_000), |_| {});
    assert_eq!(fleet.active(), 0, "nothing was ever reported");

    let now = start.plus_millis(2_500);
    fleet.record(ids[7], now, Origin::Activator, &Sample::IDLE);
    fleet.advance(start.plus_millis(4_500), |_| {});
    assert_eq!(fleet.active(), 0, "that was decided to be zero");
    let now = start.plus_millis(5_000);
    fleet.record(ids[7], now, Origin::Activator, &Sample::IDLE);
    assert_eq!(fleet.active(), 0, "a report of nothing is no reason to get up again");
    fleet.record(ids[7], now, Origin::Activator, &Sample::of_concurrency(3.0).unwrap());
    let mut visited = Vec::new();
    fleet.advance(start.plus_millis(6_500), |visit| visited.push((visit.id, visit.is_news)));
    assert_eq!(visited, [(ids[7], true)]);
}

#[test]
fn a_removed_revision_is_gone_also_for_its_successor() {
    let start = Timestamp::from_millis(START_MS);
    let mut fleet = Fleet::new(start);
    let first = fleet.insert(start, RevisionSettings::default(), Observed::ready(1)).unwrap();
    assert!(fleet.remove(first).is_some());
    let second = fleet.insert(start, RevisionSettings::default(), Observed::ready(1)).unwrap();
    assert!(fleet.get(first).is_none() && fleet.remove(first).is_none());
    assert!(fleet.get(second).is_some());
    assert_eq!(fleet.len(), 1);
}

#[test]
fn instances_are_counted_by_their_changes() {
    use InstanceState::{Leaving, Ready, Starting};
    let mut counts = InstanceCounts::default();
    for (from, to) in [
        (None, Some(Starting)),
        (None, Some(Starting)),
        (Some(Starting), Some(Ready)),
        (Some(Ready), Some(Leaving)),
        (Some(Starting), Some(Ready)),
        (Some(Leaving), None),
    ] {
        counts.change(from, to);
    }
    let wanted = Observed { requested: 2, ..Observed::ready(1) };
    assert_eq!(counts.observed(2), wanted);
    counts.change(Some(Leaving), None);
    assert_eq!(counts.leaving(), 0, "one too many is not below none");
}
