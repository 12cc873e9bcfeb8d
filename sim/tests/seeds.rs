//! The same with several seeds: intervals, and differences that are paired.

use std::num::NonZeroUsize;

use tidegate_sim::compare::{Variant, compare};
use tidegate_sim::figure::Figure;
use tidegate_sim::recommend::{Objective, Search, recommend};
use tidegate_sim::seeds::{Effort, run_seed, run_seeds, seeds};
use tidegate_sim::sweep::Dimension;
use tidegate_sim::{Distribution, RevisionModel, Scenario, SimSpan};
use tidegate_sim_traffic::Generated;

fn count(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("is not zero")
}

fn effort(seeds: usize) -> Effort {
    Effort { seeds: count(seeds), threads: count(2) }
}

fn scenario(pairs: &[(&str, &str)]) -> Scenario {
    let mut revision = RevisionModel {
        service: Distribution::parse("exp:200ms", &|_| unreachable!()).expect("parses"),
        concurrency: 1,
        ..RevisionModel::default()
    };
    for (name, value) in pairs {
        revision.set(name, value).expect("there is such a setting");
    }
    Scenario { seed: 4, duration: Some(SimSpan::from_secs(300)), revision, ..Scenario::default() }
}

fn poisson(seed: u64) -> Generated {
    Generated::new("poisson:10", 0, SimSpan::from_secs(300), seed).expect("parses")
}

#[test]
fn a_seed_of_many_is_the_run_with_that_seed() {
    let (scenario, traffic) = (scenario(&[]), poisson(4));
    let many = run_seeds(&scenario, &traffic, &seeds(4, 3), count(2)).expect("runs");
    for (number, result) in many.iter().enumerate() {
        let seed = 4 + number as u64;
        let alone = run_seed(&Scenario { seed, ..scenario.clone() }, &poisson(seed), seed);
        let alone = alone.expect("runs");
        assert_eq!((result.requests, result.latency_ms), (alone.requests, alone.latency_ms));
        assert_eq!(result.seed, seed);
    }
    assert_ne!(many[0].requests, many[1].requests, "each has arrivals of its own");
}

#[test]
fn comparisons_tell_a_difference_from_chance() {
    let variant = |name: &str, pairs: &[(&str, &str)]| Variant {
        name: name.to_owned(),
        scenario: scenario(pairs),
    };
    let variants = [
        variant("as it is", &[]),
        variant("the same", &[]),
        variant("more", &[("min-scale", "40")]),
    ];
    let outputs = compare(&variants, &poisson(4), effort(5), || {}).expect("runs");
    let hours = |number: usize| Figure::InstanceHours.difference(&outputs[number].result);
    assert!(hours(0).is_none(), "the first is compared with nothing");
    let same = hours(1).expect("there are five seeds");
    assert!(same.covers_zero() && same.half_width() == 0.0, "paired by seed: {same:?}");
    let more = hours(2).expect("there are five seeds");
    assert!(!more.covers_zero() && more.mean > 0.0, "{more:?}");
    let p99 = Figure::P99.interval(&outputs[0].result).expect("there are five seeds");
    assert!(p99.low < p99.mean && p99.least <= p99.mean && p99.mean <= p99.most, "{p99:?}");
    let once = compare(&variants, &poisson(4), effort(1), || {}).expect("runs");
    assert_eq!(once[0].result.over_seeds, None);
    assert_eq!(once[0].result.latency_ms, outputs[0].result.latency_ms);
}

#[test]
fn one_setting_is_advised_where_one_does() {
    let dimension = |text: &str| Dimension::parse(text).expect("parses");
    let search = Search {
        objectives: vec![Objective::parse("cold<0.01%").expect("parses")],
        dimensions: vec![
            dimension("min-scale=0,2,4"),
            // Neither does anything here: there is never such a load, nor a lull.
            dimension("max-scale=500,600,700"),
            dimension("scale-to-zero-grace-period=20s,30s,40s"),
        ],
        budget: 40,
        effort: effort(3),
    };
    let found = recommend(&scenario(&[]), &poisson(4), &search, |_, _| {}).expect("runs");
    assert!(!found.baseline.keeps_all, "the first requests are cold as it is");
    let best = found.best.expect("instances that are there are not cold");
    let names: Vec<&String> = best.point.settings.keys().collect();
    assert_eq!(names, ["min-scale"]);
    let saving = found.saving.expect("there are three seeds");
    assert!((saving.mean - cost_change(&found.baseline, &best.point)).abs() < 1e-9);
}

fn cost_change(
    before: &tidegate_sim::recommend::Evidence,
    after: &tidegate_sim::sweep::SweepPoint,
) -> f64 {
    let hours = |result| Figure::InstanceHours.mean(result);
    hours(&after.result) - hours(&before.point.result)
}
