//! Settings for each revision alone, under bounds on all of them together.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tidegate_sim::recommend::per_revision::{PerRevision, RevisionSearch, recommend_per_revision};
use tidegate_sim::recommend::{Figure, Objective};
use tidegate_sim::scenario::{NodeModel, StartUp};
use tidegate_sim::seeds::Effort;
use tidegate_sim::sweep::Dimension;
use tidegate_sim::{
    Distribution, RevisionModel, Scenario, SimSpan, Traffic, engine::RunError, run,
};
use tidegate_sim_traffic::{Generated, Merged};

const SECONDS: u64 = 7_200;

/// One that is always there, and four that come more and more rarely.
const ARRIVALS: [&str; 5] =
    ["busy=poisson:2", "a=timer:100s", "b=timer:200s", "c=timer:400s", "d=timer:1600s"];

fn traffic() -> Merged {
    let until = SimSpan::from_secs(SECONDS);
    let parts = ARRIVALS.iter().enumerate().map(|(number, spec)| {
        Generated::shared(spec, number as u64, until, 1).expect("it is traffic")
    });
    Merged::new(parts.collect::<Vec<Arc<dyn Traffic>>>())
}

fn scenario() -> Scenario {
    Scenario {
        seed: 1,
        duration: Some(SimSpan::from_secs(SECONDS)),
        revision: RevisionModel {
            service: Distribution::Constant(SimSpan::from_millis(200)),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(2))),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    }
}

fn search(objectives: &[&str], vary: &str) -> RevisionSearch {
    let parse = |text: &&str| Objective::parse(text).expect("parses");
    let count = |number| NonZeroUsize::new(number).expect("is not zero");
    RevisionSearch {
        objectives: objectives.iter().map(parse).collect(),
        dimensions: vec![Dimension::parse(vary).expect("parses")],
        effort: Effort { seeds: count(2), threads: count(2) },
    }
}

fn find(objectives: &[&str], vary: &str) -> Result<PerRevision, RunError> {
    recommend_per_revision(&scenario(), &traffic(), &search(objectives, vary), |_, _| {})
}

#[test]
fn those_are_kept_warm_that_save_most_for_their_price() {
    // 72 + 36 + 18 + 5 calls are cold as it is, of some 14,500: 0.9 %. A third of it may stay.
    let found = find(&["cold<0.3%"], "min-scale=0,1,2").expect("runs");
    assert!(!found.baseline.keeps_all, "{:?}", found.baseline.objectives);
    let best = found.best.expect("with one instance each nothing is cold");
    assert!(best.keeps_all);
    let changed: Vec<&str> = found.changes.iter().map(|one| one.revision.as_str()).collect();
    // The one that comes every 100 s is there most of the time already: it costs least more.
    assert!(changed.contains(&"a") && !changed.contains(&"d"), "{changed:?}");
    assert!(found.changes.iter().all(|one| one.settings["min-scale"] == "1"), "{changed:?}");
    let same = found.uniform.iter().find(|one| one.keeps_all).expect("one for all keeps it");
    let hours = |evidence: &tidegate_sim::recommend::Evidence| {
        Figure::InstanceHours.mean(&evidence.point.result)
    };
    assert!(hours(&best) < 0.8 * hours(same), "{} of {}", hours(&best), hours(same));
    // No other selection that keeps the bound is cheaper.
    let gap = found.gap_share.expect("revisions share no nodes");
    let cheapest = every_selection();
    assert!(hours(&best) <= 1.011 * cheapest, "{} and at least {cheapest}", hours(&best));
    assert!(hours(&best) / (1.0 + gap) <= 1.000_1 * cheapest, "the bound is one: {gap}");
}

/// The least instance-hours of all selections of revisions that are kept warm, with both seeds.
fn every_selection() -> f64 {
    let base = scenario();
    let mut warm = base.revision.clone();
    warm.set("min-scale", "1").expect("there is such a setting");
    let names = ["busy", "a", "b", "c", "d"];
    let mut least = f64::INFINITY;
    for bits in 0..32_u32 {
        let chosen = names.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        let revisions = chosen.map(|(_, name)| ((*name).to_owned(), warm.clone())).collect();
        let scenario = Scenario { revisions, ..base.clone() };
        let seeds = tidegate_sim::seeds::seeds(1, 2);
        let threads = NonZeroUsize::new(2).expect("is not zero");
        let results = tidegate_sim::seeds::run_seeds(&scenario, &traffic(), &seeds, threads);
        let results = results.expect("runs");
        if results.iter().all(|result| Figure::Cold.of(result) <= 0.003) {
            let hours = results.iter().map(|result| Figure::InstanceHours.of(result));
            least = least.min(hours.sum::<f64>() / 2.0);
        }
    }
    least
}

#[test]
fn a_percentile_is_kept_by_all_together() {
    let found = find(&["p99<1s", "lost<1%"], "min-scale=0,1").expect("runs");
    let best = found.best.expect("with one instance each nothing waits");
    assert!(Figure::P99.worst(&best.point.result) <= 1_000.0);
    assert!(found.changes.len() < ARRIVALS.len(), "not all of them need an instance");
}

#[test]
fn what_was_found_is_what_runs_with_these_settings() {
    let found = find(&["cold<0.3%"], "min-scale=0,1").expect("runs");
    let mut scenario = scenario();
    for change in &found.changes {
        let mut model = scenario.revision.clone();
        for (name, value) in &change.settings {
            model.set(name, value).expect("there is such a setting");
        }
        scenario.revisions.insert(change.revision.clone(), model);
    }
    let result = run(&scenario, &traffic(), &mut ()).expect("runs").result;
    let best = found.best.expect("there is a choice").point.result;
    assert_eq!((result.cold_starts, result.latency_ms), (best.cold_starts, best.latency_ms));
    assert_eq!(result.instance_seconds, best.instance_seconds);
}

#[test]
fn nothing_is_changed_for_nothing_and_nothing_is_found_where_nothing_is() {
    let found = find(&["cold<5%"], "min-scale=0,1").expect("runs");
    assert!(found.changes.is_empty(), "{:?}", found.changes);
    let found = find(&["max<1ms"], "min-scale=0,1").expect("runs");
    assert_eq!(found.best, None);
}

#[test]
fn what_does_not_add_up_is_refused() {
    for objective in ["instances<3", "idle<50%", "node-hours<3"] {
        let problem = find(&[objective], "min-scale=0,1").expect_err(objective).to_string();
        assert!(problem.contains("does not add up over revisions"), "{problem}");
    }
    let problem = find(&["cold<1%"], "fail=none,5m:node").expect_err("is no setting").to_string();
    assert!(problem.contains("fail"), "{problem}");
}

#[test]
fn shared_nodes_are_taken_into_account() {
    // Room for three instances: what would fit alone waits here for a place.
    let nodes = vec![NodeModel { capacity: 3, min: 1, max: 1, ..NodeModel::default() }];
    let scenario = Scenario { nodes, ..scenario() };
    let search = search(&["cold<0.4%"], "min-scale=0,1");
    let found = recommend_per_revision(&scenario, &traffic(), &search, |_, _| {}).expect("runs");
    assert_eq!(found.gap_share, None);
    if let Some(best) = found.best {
        assert!(best.keeps_all && found.changes.len() <= 3, "{:?}", found.changes);
    }
}
