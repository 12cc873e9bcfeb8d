//! The story: with no instance and no request the simulator went on reporting zeros for two
//! windows. Knative records nothing then: no instance is asked, and the activator says once that it
//! has no request left and is silent. So after a minute its windows are empty, the first request
//! after it is the whole average, and a revision whose instances take one request each gets two of
//! them. The simulator divided that request by 60 and started one: a timer of three minutes cost 65
//! instance-seconds a call, where by Knative's rules it costs 126.
//!
//! The figures here are worked out by hand from Knative's rules: buckets of a second that add up, a
//! mean over the seconds since the first one that is known, a fresh start after a gap of a window,
//! and a gap within the window that counts as nothing.

use tidegate_sim::scenario::StartUp;
use tidegate_sim::{Distribution, Recording, RevisionModel, RunOutput, Scenario, SimSpan, run};

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

/// One request at a time per instance, a target of 0.7, a start-up of two seconds.
fn simulate(rows: Vec<(u64, u64)>, initial: u32, burst_capacity: &str) -> RunOutput {
    let settings = [("target-burst-capacity".to_owned(), burst_capacity.to_owned())];
    let end_s = rows.last().map_or(0, |row| row.0 / 1_000) + 120;
    let scenario = Scenario {
        duration: Some(SimSpan::from_secs(end_s)),
        revision: RevisionModel {
            settings: settings.into(),
            concurrency: 1,
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_secs(2))),
            initial: Some(initial),
            ..RevisionModel::default()
        },
        recording: Recording { decisions: 1_000, ..Recording::NOTHING },
        ..Scenario::default()
    };
    run(&scenario, &Rows(rows), &mut ()).expect("it runs")
}

/// Decisions that a request caused at once: when, the stable average, instances, whether in panic.
fn wake_ups(output: &RunOutput) -> Vec<(f64, f64, u64, bool)> {
    let first = |decision: &&tidegate_sim::DecisionRecord| {
        decision.trigger == "wake-up" && decision.ready == 0 && decision.wanted > 0
    };
    let decisions = output.decisions.iter().filter(first);
    decisions.map(|d| (d.at_s, (d.stable * 1e6).round() / 1e6, d.wanted, d.panicking)).collect()
}

#[test]
fn after_a_window_of_nobody_the_first_request_is_the_whole_average() {
    let mut rows: Vec<(u64, u64)> = (0..10).map(|call| (call * 10_000 + 300, 200)).collect();
    rows.push((220_500, 5_000));
    let output = simulate(rows, 1, "211");
    assert_eq!(wake_ups(&output), [(220.5, 1.0, 2, true)]);
}

#[test]
fn a_gap_within_the_window_counts_as_nothing_and_a_longer_one_not_at_all() {
    for burst_capacity in ["211", "-1"] {
        let rows = vec![(250, 1_000), (100_250, 1_000), (300_250, 1_000)];
        let output = simulate(rows, 0, burst_capacity);
        // Where instances are asked the second request comes some 35 s after their last report: a
        // sixtieth of a request for the stable window, and a whole one for the panic window, which
        // is long empty. Where the activator alone reports it has been silent for longer.
        let stable = if burst_capacity == "211" { 0.016_667 } else { 1.0 };
        let expected = [(0.25, 1.0, 2, true), (100.25, stable, 2, true), (300.25, 1.0, 2, true)];
        assert_eq!(wake_ups(&output), expected, "{burst_capacity}");
    }
}

#[test]
fn a_timer_of_three_minutes_costs_what_it_costs_on_knative() {
    let calls = 40;
    let rows = (0..calls).map(|call| (call * 180_000 + 17_300, 200)).collect();
    let result = simulate(rows, 0, "211").result;
    let each_s = result.instance_seconds / calls as f64;
    assert!((120.0..=132.0).contains(&each_s), "{each_s} s a call");
    assert_eq!(result.cold_starts, calls);
}
