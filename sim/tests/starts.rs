//! The story: ten interpreters that started at once on two cores took up to seven times as long as
//! one alone, and the simulator drew each start-up by itself: tails of cold starts were short by
//! half. Start-ups on one machine slow each other by a law, a control plane starts so many a
//! second, and local mode has starts take turns; all of them are found again in what was seen.

use proptest::prelude::*;
use tidegate_autoscaler::StartPace;
use tidegate_sim::fit::starts::{self, SeenOrder, SeenStart, StartEnd};
use tidegate_sim::scenario::{Contention, NodeModel, StartModel, StartUp, StartsInTurns};
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimSpan, SimTime, run};
use tidegate_sim_traffic::Generated;

/// `count` instances that start at once, a second each when alone.
fn starting(count: u32, starts: StartModel) -> Scenario {
    let start_up = StartUp::total(Distribution::constant(SimSpan::from_secs(1)));
    let revision = RevisionModel {
        policy: PolicyChoice::Fixed(count),
        initial: Some(count),
        initial_starting: count,
        start_up,
        ..RevisionModel::default()
    };
    Scenario { duration: Some(SimSpan::from_secs(20)), revision, starts, ..Scenario::default() }
}

/// Ready instances over 20 s, averaged.
fn mean(scenario: &Scenario) -> f64 {
    let traffic = Generated::new("constant:1", 0, SimSpan::from_secs(20), 1).expect("traffic");
    let result = run(scenario, &traffic, &mut ()).expect("it runs").result;
    assert_eq!(result.instances.max, u64::from(scenario.revision.initial.unwrap_or(0)));
    result.instances.mean
}

fn contended(law: &str) -> StartModel {
    let contention = Contention::parse(law).expect("a law");
    StartModel { contention, ..StartModel::default() }
}

#[test]
fn starts_at_once_take_as_long_as_the_law_says() {
    for (law, seconds) in
        [("none", 1.0), ("ps:4", 1.0), ("ps:2", 2.0), ("ps:1", 4.0), ("linear:0.5", 2.5)]
    {
        let found = mean(&starting(4, contended(law)));
        let expected = 4.0 * (20.0 - seconds) / 20.0;
        assert!((found - expected).abs() < 1e-6, "{law}: {found}, expected {expected}");
    }
}

#[test]
fn only_starts_on_one_node_slow_each_other() {
    let nodes = |capacity| NodeModel {
        capacity,
        min: 4,
        max: 4,
        provisioning: Distribution::constant(SimSpan::from_secs(60)),
        idle: SimSpan::from_secs(600),
        ..NodeModel::default()
    };
    for (capacity, seconds) in [(1, 1.0), (2, 2.0), (4, 4.0)] {
        let scenario = Scenario { nodes: vec![nodes(capacity)], ..starting(4, contended("ps:1")) };
        let found = mean(&scenario);
        let expected = 4.0 * (20.0 - seconds) / 20.0;
        assert!((found - expected).abs() < 1e-6, "{capacity}: {found}, expected {expected}");
    }
}

#[test]
fn a_control_plane_starts_one_after_another() {
    let starts = StartModel { per_second: Some(2.0), ..StartModel::default() };
    // Started after 0.5, 1, 1.5 and 2 s, and ready a second later.
    let expected = (18.5 + 18.0 + 17.5 + 17.0) / 20.0;
    let found = mean(&starting(4, starts));
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

fn in_turns(text: &str) -> StartModel {
    let in_turns = StartsInTurns::parse(text).expect("turns");
    StartModel { in_turns, ..StartModel::default() }
}

#[test]
fn starts_take_turns() {
    // Two at a time: ready after 1, 1, 2 and 2 s. With 5 a second more, found at looks every 0.1 s:
    // the third starts after 0.2 s and the fourth after 0.4 s.
    let rows = [
        ("all", [1.0; 4]),
        ("2", [1.0, 1.0, 2.0, 2.0]),
        ("1", [1.0, 2.0, 3.0, 4.0]),
        ("2,5", [1.0, 1.0, 1.2, 1.4]),
    ];
    for (text, ready_s) in rows {
        let found = mean(&starting(4, in_turns(text)));
        let expected = ready_s.iter().map(|ready| 20.0 - ready).sum::<f64>() / 20.0;
        assert!((found - expected).abs() < 1e-6, "{text}: {found}, expected {expected}");
    }
}

#[test]
fn a_turn_that_takes_too_long_holds_up_nobody() {
    let mut scenario = starting(4, in_turns("2"));
    scenario.revision.start_up = StartUp::total(Distribution::constant(SimSpan::from_secs(5)));
    // The others start after two seconds.
    let expected = (15.0 + 15.0 + 13.0 + 13.0) / 20.0;
    let found = mean(&scenario);
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

#[test]
fn readiness_is_noticed_at_the_next_probe() {
    let mut scenario = starting(4, contended("linear:0.5"));
    scenario.revision.start_up.probe_period = SimSpan::from_secs(2);
    let found = mean(&scenario);
    assert!((found - 4.0 * 16.0 / 20.0).abs() < 1e-6, "{found}");
}

#[test]
fn start_ups_that_are_known_come_in_order() {
    let mut scenario = starting(3, StartModel::default());
    let known = [Some(SimSpan::from_secs(5)), None];
    scenario.revision.start_up.in_order = Some(known.into());
    let found = mean(&scenario);
    assert!((found - (15.0 + 19.0 + 19.0) / 20.0).abs() < 1e-6, "{found}");
    scenario.set("cold-start", "const:2s").expect("a law");
    assert!((mean(&scenario) - 3.0 * 18.0 / 20.0).abs() < 1e-6);
}

#[test]
fn what_cannot_be_is_refused() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let starts = StartModel { per_second: Some(rate), ..StartModel::default() };
        let traffic = Generated::new("constant:1", 0, SimSpan::from_secs(1), 1).expect("traffic");
        let error = run(&starting(1, starts), &traffic, &mut ()).expect_err("refused").to_string();
        assert!(error.contains("the control plane starts"), "{error}");
    }
    let mut scenario = Scenario::default();
    assert!(scenario.set("starts-per-second", "0").is_err());
    assert!(scenario.set("start-contention", "ps:0").is_err());
    scenario.set("starts-per-second", "6.5").expect("a rate");
    scenario.set("start-contention", "linear:0.2").expect("a law");
    scenario.set("min-scale", "1").expect("a setting");
    assert_eq!(scenario.starts.per_second, Some(6.5));
}

/// Bursts that start instances by several at a time, most of which are given up before long.
fn bursty(
    seed: u64,
    law: &str,
    rate: Option<u32>,
    turns: &str,
    policy: &str,
    capacity: Option<u32>,
) -> Scenario {
    let mut scenario = Scenario {
        seed,
        duration: Some(SimSpan::from_secs(120)),
        starts: StartModel {
            contention: Contention::parse(law).expect("a law"),
            per_second: rate.map(f64::from),
            in_turns: StartsInTurns::parse(turns).expect("turns"),
        },
        nodes: capacity
            .map(|capacity| NodeModel {
                capacity,
                min: 1,
                max: 8,
                provisioning: Distribution::constant(SimSpan::from_secs(3)),
                idle: SimSpan::from_secs(10),
                ..NodeModel::default()
            })
            .into_iter()
            .collect(),
        ..Scenario::default()
    };
    for (key, value) in [
        ("policy", policy),
        ("concurrency", "2"),
        ("cold-start", "exp:2s"),
        ("stable-window", "6s"),
        ("service", "exp:300ms"),
    ] {
        scenario.set(key, value).expect("a setting");
    }
    scenario
}

/// One that waited for a node and was given up left its slot to one that had not its turn yet,
/// which then took the place of the former: it started before its turn, and stayed in line forever.
#[test]
fn who_has_no_turn_yet_does_not_take_the_place_of_one_that_was_given_up() {
    let scenario = bursty(118, "none", None, "1", "keep-alive:2s", Some(3));
    let duration = SimSpan::from_secs(120);
    let traffic = Generated::new("onoff:30,4s,7s", 0, duration, 118).expect("traffic");
    let result = run(&scenario, &traffic, &mut ()).expect("it runs").result;
    let ended = result.completed + result.rejected + result.timed_out + result.failed;
    assert_eq!(result.requests, ended + result.in_flight);
}

proptest! {
    /// Whatever is dismissed while it starts or waits, no request is lost from the books, and the
    /// same seed gives the same result.
    #[test]
    fn nothing_is_lost_when_starts_are_given_up(
        seed in 0_u64..1_000,
        law in prop_oneof![Just("ps:1"), Just("linear:0.7"), Just("curve:1,3"), Just("none")],
        rate in prop::option::of(1_u32..20),
        turns in prop_oneof![Just("all"), Just("1"), Just("2,1.5"), Just("3")],
        policy in prop_oneof![Just("kpa"), Just("tidegate"), Just("keep-alive:2s")],
        capacity in prop::option::of(1_u32..4),
    ) {
        let scenario = bursty(seed, law, rate, turns, policy, capacity);
        let duration = SimSpan::from_secs(120);
        let traffic = Generated::new("onoff:30,4s,7s", 0, duration, seed).expect("traffic");
        let first = run(&scenario, &traffic, &mut ()).expect("it runs").result;
        let second = run(&scenario, &traffic, &mut ()).expect("it runs").result;
        let ended = first.completed + first.rejected + first.timed_out + first.failed;
        prop_assert_eq!(first.requests, ended + first.in_flight);
        prop_assert_eq!(first.instance_seconds.to_bits(), second.instance_seconds.to_bits());
        prop_assert_eq!(first.latency_ms.p99.to_bits(), second.latency_ms.p99.to_bits());
    }
}

fn at(seconds: f64) -> SimTime {
    SimTime::from_secs_f64(seconds)
}

/// Bursts of start-ups on one machine under a law, a millisecond at a time: an account of its own.
fn bursts(slow_down: impl Fn(usize) -> f64) -> Vec<SeenStart> {
    let mut seen = Vec::new();
    for (burst, count) in [1, 6, 2, 4, 1, 8, 3].repeat(3).into_iter().enumerate() {
        let begin = burst as f64 * 100.0;
        // Alone they take between 0.4 and 0.5 s; they begin 50 ms apart.
        let alone = |number: usize| 0.4 + 0.1 * ((seen.len() + number) * 7 % 10) as f64 / 10.0;
        let mut left: Vec<(f64, f64)> =
            (0..count).map(|number| (0.05 * number as f64, alone(number))).collect();
        let mut ends = vec![0.0; left.len()];
        for millis in 0..60_000 {
            let now = f64::from(millis) / 1e3;
            let busy: Vec<usize> =
                (0..left.len()).filter(|i| left[*i].0 <= now && left[*i].1 > 0.0).collect();
            for index in &busy {
                left[*index].1 -= 0.001 / slow_down(busy.len());
                ends[*index] = now + 0.001;
            }
        }
        let times = left.iter().zip(&ends);
        seen.extend(times.map(|((from, _), until)| SeenStart {
            from: at(begin + from),
            until: at(begin + until),
            end: StartEnd::Ready,
        }));
    }
    seen
}

#[test]
fn the_law_of_start_ups_is_found_again() {
    let fitted = starts::start_ups(&bursts(|count| 1.0 + 0.4 * (count as f64 - 1.0)));
    let fitted = fitted.expect("there are some");
    let Contention::Linear { alpha } = fitted.contention else { panic!("{fitted:?}") };
    assert!((alpha - 0.4).abs() < 0.04, "{alpha}");
    assert!(fitted.spread > 0.3 && fitted.unexplained < 0.08, "{fitted:?}");
    for alone in fitted.alone.iter().flatten() {
        assert!((0.38..0.52).contains(&alone.as_secs_f64()), "{alone:?}");
    }
    let fitted = starts::start_ups(&bursts(|count| (count as f64 / 2.0).max(1.0)));
    let fitted = fitted.expect("there are some");
    let Contention::ProcessorSharing { cores } = fitted.contention else { panic!("{fitted:?}") };
    assert!((cores - 2.0).abs() < 0.1, "{cores}");
    let fitted = starts::start_ups(&bursts(|_| 1.0)).expect("there are some");
    assert_eq!(fitted.contention, Contention::None);
    assert_eq!((fitted.count, fitted.alone.len()), (75, 75));
}

#[test]
fn too_few_start_ups_say_nothing_of_each_other() {
    let one = SeenStart { from: at(0.0), until: at(1.0), end: StartEnd::Ready };
    let given_up = SeenStart { end: StartEnd::GivenUp, ..one };
    assert_eq!(starts::start_ups(&[given_up]), None);
    let fitted = starts::start_ups(&[one, given_up]).expect("one became ready");
    assert_eq!((fitted.contention, fitted.count, fitted.shared), (Contention::None, 1, 1));
    assert_eq!(fitted.alone, [Some(SimSpan::from_secs(1)), None]);
}

#[test]
fn the_pace_of_a_control_plane_is_found_again() {
    let order = |begin: f64, count: u32| SeenOrder {
        at: at(begin),
        starts: (0..count).map(|nth| at(begin + 0.3 + f64::from(nth) / 7.0)).collect(),
    };
    let fitted = starts::control_plane(&[order(0.0, 5), order(10.0, 1), order(20.0, 9)]);
    let fitted = fitted.expect("something was ordered");
    assert!((fitted.per_second.expect("a limit") - 7.0).abs() < 1e-6, "{fitted:?}");
    assert!((fitted.latency.as_secs_f64() - 0.3).abs() < 1e-6, "{fitted:?}");
    let at_once = SeenOrder { at: at(0.0), starts: vec![at(0.1); 4] };
    assert_eq!(starts::control_plane(&[at_once]).expect("ordered").per_second, None);
    assert_eq!(starts::control_plane(&[]), None);
}

#[test]
fn the_time_that_a_machine_has_left_is_found_again() {
    let pace = StartPace { at_once: 2, turn_ms: 2_000 };
    let start = |from: f64, took: f64| SeenStart {
        from: at(from),
        until: at(from + took),
        end: StartEnd::Ready,
    };
    let order = |begin: f64, starts: &[f64]| SeenOrder {
        at: at(begin),
        starts: starts.iter().map(|start| at(*start)).collect(),
    };
    let found =
        |seen: &[SeenStart], orders: &[SeenOrder]| starts::slack_per_second(pace, orders, seen);
    // The third waits for the first, the fourth for the second: no time was left.
    let strict = [start(0.0, 1.0), start(0.1, 1.0), start(1.0, 1.0), start(1.1, 1.0)];
    assert_eq!(found(&strict, &[order(0.0, &[0.0, 0.1, 1.0, 1.1])]), 0.0);
    // Nor where a turn was too long.
    let long = [start(0.0, 9.0), start(0.0, 9.0), start(2.0, 9.0)];
    assert_eq!(found(&long, &[order(0.0, &[0.0, 0.0, 2.0])]), 0.0);
    // Two more start while the first two do, within half a second in which they waited.
    let eager = [start(0.0, 1.0), start(0.0, 1.0), start(0.25, 1.0), start(0.5, 1.0)];
    let slack = found(&eager, &[order(0.0, &[0.0, 0.0, 0.25, 0.5])]);
    assert!((slack - 4.0).abs() < 1e-6, "{slack}");
    assert_eq!(found(&[], &[]), 0.0);
}
