//! Each improvement beside the problem it solves: the same scenario with the switch off and on.

#[path = "improvements/stage.rs"]
mod stage;

use stage::{Stage, only};
use tidegate_autoscaler::collector::Missing;
use tidegate_autoscaler::explain::{PanicChange, Rule};
use tidegate_autoscaler::{DecisionSpec, Improvements, Observed};

/// Knative issue 8610: instances that cannot be asked look like instances without load.
///
/// Four instances carry 250 requests when reports stop. Knative's averages drift while the window
/// runs dry, the panic window reads zero at once, so that the activator leaves the path, and in
/// the one second in which the newest report is exactly a window old, half the fleet goes.
#[test]
fn silence_is_not_zero() {
    let recommendations = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 4);
        for second in 0..61 {
            stage.load(if second % 3 == 0 { 350.0 } else { 200.0 });
            stage.second(Observed::ready(4));
        }
        let capacity = stage.autoscaler.status().excess_burst_capacity;
        let silence: Vec<_> = (0..64).filter_map(|_| stage.second(Observed::ready(4))).collect();
        let left_path = capacity < 0 && silence.iter().any(|d| d.excess_burst_capacity > 0);
        let valid: Vec<i32> = silence.iter().filter(|d| d.valid).map(|d| d.desired).collect();
        (valid.iter().min().copied(), left_path)
    };
    assert_eq!(recommendations(Improvements::none()), (Some(2), true), "half the fleet goes");
    let held = recommendations(only(|switches| switches.hold_in_silence = true));
    assert_eq!(held, (Some(4), false), "what was known is held");
}

/// Issues 13284, 3153, 9121: instances take long to start, and as long as they do, the short
/// window sees a burst in front of few ready instances, again and again.
#[test]
fn slow_starters_do_not_multiply() {
    const START_S: i64 = 40;
    let peak = |improvements| {
        let spec = DecisionSpec { target_value: 10.0, total_value: 14.0, ..Default::default() };
        let mut stage = Stage::new(improvements, spec, 1);
        let mut started: Vec<i64> = vec![-START_S];
        let mut waiting = 0.0_f64;
        let mut peak = 0;
        for second in 0..150_i64 {
            // Ten requests a second that take a second each, then forty of them; what an
            // instance cannot carry waits.
            let arrivals = if second < 30 { 8.0 } else { 40.0 };
            let ready = started.iter().filter(|&&at| at + START_S <= second).count();
            let served = (waiting + arrivals).min(ready as f64 * 14.0);
            // Clients that waited for a while give up.
            waiting = (waiting + arrivals - served).min(600.0);
            stage.traffic(served + waiting, arrivals);
            let observed = Observed {
                starting: (started.len() - ready) as u32,
                requested: started.len() as u32,
                ..Observed::ready(ready as u32)
            };
            if let Some(decision) = stage.second(observed).filter(|decision| decision.valid) {
                let recommended = decision.desired.max(1) as usize;
                peak = peak.max(recommended);
                if recommended > started.len() {
                    started.resize(recommended, second);
                } else {
                    started.truncate(recommended);
                }
            }
        }
        peak
    };
    let (suffering, cure) =
        (peak(Improvements::none()), peak(only(|switches| switches.count_starting = true)));
    println!("at most {suffering} instances, then {cure}");
    assert!(suffering >= 55, "the crowd that waits is counted again and again: {suffering}");
    assert!(cure <= suffering / 4, "starting instances count: {cure}, not {suffering}");
    assert!(cure >= 4, "and what the load needs is recommended: {cure}");
}

/// Panic with many requested and few ready instances begins below what is requested.
#[test]
fn panic_begins_with_what_was_requested() {
    let first_recommended_in_panic = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 1);
        for _ in 0..60 {
            stage.load(50.0);
            stage.second(Observed::ready(1));
        }
        // Fifty are requested, three of them ready, and the load needs eight.
        let observed = Observed { requested: 50, ..Observed::ready(3) };
        stage.load(3000.0);
        let decision = stage.tick(observed);
        assert_eq!(decision.panic_change, PanicChange::Entered);
        decision.desired
    };
    assert!(first_recommended_in_panic(Improvements::none()) < 50);
    assert_eq!(first_recommended_in_panic(only(|switches| switches.count_starting = true)), 50);
}

/// Issue 11926: one request more or less moves the activator in and out of the path.
#[test]
fn one_request_does_not_move_the_activator() {
    let changes = |improvements| {
        let spec = DecisionSpec { target_burst_capacity: 200.0, ..Default::default() };
        let mut stage = Stage::new(improvements, spec, 2);
        let mut signs = Vec::new();
        for second in 0..120 {
            stage.load(f64::from(u8::from(second / 8 % 2 == 0)));
            signs.extend(stage.second(Observed::ready(2)).map(|d| d.excess_burst_capacity < 0));
        }
        signs.windows(2).filter(|pair| pair[0] != pair[1]).count()
    };
    assert!(changes(Improvements::none()) >= 10);
    assert_eq!(changes(only(|switches| switches.burst_hysteresis = true)), 0);
}

/// Issue 6743: with a little jitter two reports fall into one second and none into the next. A
/// steady load of 69 at a target of 70 then reads 138 and 0 in turns, and panics.
#[test]
fn two_reports_in_one_second_do_not_double() {
    let panics = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 1);
        stage.panic_window_ms(1_000);
        let mut panics = 0;
        for second in 0..120 {
            // Every other report comes just after the second it should have come in.
            if second % 2 == 0 {
                stage.load_at(69.0, 5);
                stage.load_at(69.0, 480);
            }
            panics += usize::from(stage.second(Observed::ready(1)).is_some_and(|d| d.desired > 1));
        }
        panics
    };
    assert!(panics(Improvements::none()) > 10, "a load that never changes panics");
    assert_eq!(panics(only(|switches| switches.average_reports = true)), 0);
}

/// A window that had just begun is divided by seconds it never had once its length is changed.
#[test]
fn a_resized_window_keeps_its_history() {
    let after_resize = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 4);
        stage.load(280.0);
        stage.second(Observed::ready(4));
        stage.stable_window_ms(30_000);
        stage.tick(Observed::ready(4)).stable
    };
    assert!(after_resize(Improvements::none()) < 12.0, "280 requests read as hardly any");
    assert_eq!(after_resize(only(|switches| switches.keep_history = true)), 280.0);
}

/// A scale-down delay that is changed while the revision runs does nothing in Knative.
#[test]
fn a_changed_delay_takes_effect() {
    let recommended_after_load_fell = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 1);
        let delayed = DecisionSpec { scale_down_delay_ms: 600_000, ..Default::default() };
        stage.autoscaler.set_spec(delayed);
        for second in 0..200 {
            stage.load(if second < 60 { 700.0 } else { 10.0 });
            stage.second(Observed::ready(10));
        }
        stage.autoscaler.status().desired
    };
    assert!(recommended_after_load_fell(Improvements::none()) < 10);
    assert_eq!(recommended_after_load_fell(only(|switches| switches.keep_history = true)), 10);
}

/// Right after a restart nothing was decided yet, and the first request waits for a tick.
#[test]
fn the_first_request_after_a_restart_wakes_at_once() {
    let wakes = |improvements| {
        Stage::new(improvements, DecisionSpec::default(), 0).autoscaler.should_wake(1.0)
    };
    assert!(!wakes(Improvements::none()));
    assert!(wakes(only(|switches| switches.wake_after_restart = true)));
}

/// Issue 13677: without data Knative never leaves panic, so a burst long after is answered with
/// what the one before needed.
#[test]
fn panic_ends_also_without_data() {
    let recommended_long_after = |improvements| {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 1);
        stage.load(3500.0);
        stage.second(Observed::ready(1));
        stage.second(Observed::ready(1));
        assert!(stage.autoscaler.panic().since.is_some());
        // Everything is broken for ten minutes.
        for _ in 0..600 {
            stage.second(Observed::default());
        }
        stage.load(200.0);
        stage.second(Observed::ready(1));
        stage.tick(Observed::ready(1)).desired
    };
    assert_eq!(recommended_long_after(Improvements::none()), 50);
    let cured = recommended_long_after(only(|switches| switches.leave_panic_without_data = true));
    assert_eq!(cured, 3);
}

/// Issue 4589: a large fleet takes a whole window and then one halving per tick to go.
#[test]
fn idle_instances_go_before_a_window_has_passed() {
    let seconds_to_zero = |improvements| {
        let spec = DecisionSpec { idle_floor_ms: 15_000, ..Default::default() };
        let mut stage = Stage::new(improvements, spec, 40);
        let mut ready = 40;
        for _ in 0..180 {
            stage.load(2800.0);
            stage.second(Observed::ready(40));
        }
        (0..180).find(|_| {
            stage.load(0.0);
            if let Some(decision) = stage.second(Observed::ready(ready)) {
                ready = decision.desired as u32;
            }
            ready == 0
        })
    };
    let suffering = seconds_to_zero(Improvements::none());
    let cure = seconds_to_zero(only(|switches| switches.idle_floor = true));
    assert!(suffering >= Some(58), "{suffering:?}");
    assert!(cure <= Some(17), "{cure:?}");
}

/// The idle floor lets go of nothing that the last seconds needed.
#[test]
fn the_idle_floor_keeps_what_recent_seconds_needed() {
    let spec = DecisionSpec { idle_floor_ms: 15_000, ..Default::default() };
    let mut stage = Stage::new(only(|switches| switches.idle_floor = true), spec, 40);
    for second in 0..200 {
        stage.load(if second < 150 || second % 10 == 0 { 2800.0 } else { 0.0 });
        stage.second(Observed::ready(40));
    }
    let decision = stage.tick(Observed::ready(40));
    assert_eq!(decision.rule, Rule::ShrinkRate, "the average alone decides");
}

/// Issue 15000: a burst every ten seconds vanishes in the average, and its requests wait.
#[test]
fn bursts_are_not_averaged_away() {
    let recommended = |improvements| {
        let spec = DecisionSpec { burst_percentile: 90.0, ..Default::default() };
        let mut stage = Stage::new(improvements, spec, 1);
        for second in 0..120 {
            stage.load(if second % 8 == 0 { 290.0 } else { 10.0 });
            stage.second(Observed::ready(2));
        }
        stage.tick(Observed::ready(2))
    };
    assert_eq!(recommended(Improvements::none()).desired, 1);
    let cured = recommended(only(|switches| switches.burst_percentile = true));
    assert_eq!(cured.desired, 3);
    assert!(cured.words.contains("percentile 90"), "{}", cured.words);
}

/// With every switch off, silence ends in "no data", as in Knative.
#[test]
fn silence_for_longer_than_a_window_leaves_the_last_recommendation() {
    for improvements in [Improvements::none(), Improvements::all()] {
        let mut stage = Stage::new(improvements, DecisionSpec::default(), 2);
        stage.second(Observed::ready(2));
        stage.load(100.0);
        for _ in 0..64 {
            stage.second(Observed::ready(2));
        }
        let decision = stage.tick(Observed::ready(2));
        assert_eq!(decision.rule, Rule::NoLoad(Missing::NoData));
        assert_eq!(stage.autoscaler.status().desired, 2);
    }
}

/// A revision that is called for a second at a time, every so many seconds: how many of its calls
/// found no instance and for how long it had one, in seconds, over the last ten of fourteen calls.
fn called_every(period_s: u64, improvements: Improvements) -> (u32, u64) {
    called_every_by(DecisionSpec::default(), period_s, improvements)
}

/// The same by `spec`.
fn called_every_by(spec: DecisionSpec, period_s: u64, improvements: Improvements) -> (u32, u64) {
    let mut stage = Stage::new(improvements, spec, 0);
    let (mut ready, mut cold, mut paid_s) = (0, 0, 0);
    for second in 0..14 * period_s {
        let is_call = second % period_s == 0;
        let counts = second >= 4 * period_s;
        if is_call {
            cold += u32::from(counts && ready == 0);
            ready = 1;
        }
        // Nobody reports where there is nobody.
        if ready > 0 {
            stage.load(f64::from(u8::from(is_call)));
            paid_s += u64::from(counts);
        }
        let decision = stage.second(Observed::ready(ready)).filter(|seen| seen.valid);
        // At rest nobody decides.
        if let Some(decision) = decision.filter(|_| ready > 0) {
            ready = u32::from(decision.desired > 0);
        }
    }
    (cold, paid_s)
}

/// The last instance is paid for a window after each request, also where no request ever comes in
/// that time, and goes ten seconds before the one that always comes then.
#[test]
fn pauses_are_learned() {
    let none = Improvements::none();
    let learned = only(|switches| (switches.idle_floor, switches.learn_pauses) = (true, true));
    assert_eq!(called_every(300, none), (10, 610));
    assert_eq!(called_every(300, learned), (10, 50));
    assert_eq!(called_every(70, none), (10, 610));
    assert_eq!(called_every(70, learned), (0, 700));
    // Within the window there is nothing to mend.
    assert_eq!(called_every(30, none), (0, 300));
    assert_eq!(called_every(30, learned), (0, 300));
}

/// Who says how long the last instance stays need not be outguessed.
#[test]
fn pauses_count_for_nothing_where_the_idle_time_is_set() {
    let all = Improvements::all();
    for (idle_floor_ms, paid_s) in [(0, 50), (20_000, 210)] {
        let spec = DecisionSpec { idle_floor_ms, ..Default::default() };
        assert_eq!(called_every_by(spec, 300, all), (10, paid_s), "{idle_floor_ms} ms");
    }
}

/// An instance that cannot be heard may be busy: silence is no pause.
#[test]
fn silence_is_no_pause() {
    let mut stage = Stage::new(Improvements::all(), DecisionSpec::default(), 1);
    for second in 0..1_210 {
        stage.load(f64::from(u8::from(second % 300 == 0)));
        stage.second(Observed::ready(1));
    }
    assert_eq!(stage.tick(Observed::ready(1)).rule, Rule::LongPause, "it was quiet for long");
    stage.load(1.0);
    stage.second(Observed::ready(1));
    for _ in 0..59 {
        if let Some(seen) = stage.second(Observed::ready(1)).filter(|seen| seen.valid) {
            assert_eq!(seen.desired, 1, "{}", seen.words);
        }
    }
}

/// Fifty long requests come to one instance that takes ten at a time: averages of seconds know of
/// them when a second is over, and of all of them when a panic window is full.
#[test]
fn a_crowd_counts_at_once() {
    let recommended = |improvements, inside: u32| {
        let spec = DecisionSpec { target_value: 7.0, total_value: 10.0, ..Default::default() };
        let mut stage = Stage::new(improvements, spec, 1);
        for _ in 0..30 {
            stage.load(3.0);
            stage.second(Observed::ready(1));
        }
        let waiting = inside.saturating_sub(10);
        let in_flight = inside - waiting;
        let at_once = Some(inside);
        stage.tick(Observed { in_flight, waiting, at_once, ..Observed::ready(1) }).desired
    };
    let counted = only(|switches| switches.count_waiting = true);
    assert_eq!(recommended(Improvements::none(), 50), 1);
    assert_eq!(recommended(counted, 50), 8);
    assert_eq!(recommended(counted, 19), 1, "a few wait for a moment, and are no crowd");
}
