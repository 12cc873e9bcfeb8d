//! What must hold whatever happens in whatever order, and each order of a person.

use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use tidegate_rollout::{
    Checkpoint, Gate, Order, Outcomes, Phase, Progress, Reason, Rollout, Settings, Split, Step,
    Strategy, Weight,
};

fn weight(permille: i64) -> Weight {
    Weight::from_permille(permille).expect("it is in range")
}

fn steps(permilles: &[i64], hold_ms: u64) -> Settings {
    let step = |permille: &i64| Step { weight: weight(*permille), hold_ms };
    let strategy = Strategy::steps(permilles.iter().map(step).collect()).expect("they rise");
    Settings { strategy, gate: Gate { requests_min: 10, ..Gate::default() } }
}

fn linear(over_ms: u64, period_ms: u64) -> Settings {
    let strategy = Strategy::linear(weight(20), over_ms, period_ms).expect("there is time");
    Settings { strategy, ..steps(&[1], 0) }
}

/// Ten seconds in which nothing fails.
fn well(rollout: &mut Rollout, from_s: i64, all: &mut [Outcomes; 2]) -> Vec<(i64, u16)> {
    let mut weights = Vec::new();
    for second in from_s..from_s + 10 {
        if let Some(change) = rollout.observe(second * 1_000, &all[0], &all[1]) {
            weights.push((second, change.to.new_revision().permille()));
        }
        all[0].count(90, 0);
        all[1].count(10, 0);
    }
    weights
}

#[test]
fn it_goes_step_by_step_and_says_why() {
    let (mut rollout, began) = Rollout::begin(steps(&[50, 250], 4_000), 0);
    assert_eq!(began.to_string(), "The new revision goes from 0 % to 5 %: its rollout begins.");
    let mut all = <[Outcomes; 2]>::default();
    assert_eq!(well(&mut rollout, 0, &mut all), [(4, 250), (8, 1_000)]);
    assert_eq!(rollout.phase(), Phase::Promoted);
}

#[test]
fn a_linear_rollout_follows_the_clock_once_it_knows_enough() {
    let (mut rollout, _) = Rollout::begin(linear(20_000, 2_000), 0);
    for second in 0..60 {
        assert_eq!(rollout.tick(second * 1_000), None, "nothing is known in second {second}");
    }
    let mut all = <[Outcomes; 2]>::default();
    let changes = well(&mut rollout, 60, &mut all);
    assert_eq!(changes, [(61, 100), (63, 200), (65, 300), (67, 400), (69, 500)]);
    let progress = Progress(&rollout).to_string();
    assert!(progress.starts_with("At 50 % for 0 s of 2 s, with 0 of its "), "{progress}");
}

#[test]
fn without_requests_it_waits_and_says_for_what() {
    let (mut rollout, _) = Rollout::begin(steps(&[100], 1_000), 0);
    let nothing = Outcomes::default();
    for second in 0..100 {
        assert_eq!(rollout.observe(second * 1_000, &nothing, &nothing), None);
    }
    assert_eq!(rollout.due_ms(), None);
    let progress = Progress(&rollout).to_string();
    assert!(progress.ends_with("It gets more after 10 more requests."), "{progress}");
}

#[test]
fn a_pause_counts_for_nothing_and_orders_hold_at_once() {
    let (mut rollout, _) = Rollout::begin(steps(&[100, 500], 5_000), 0);
    let mut all = <[Outcomes; 2]>::default();
    assert_eq!(rollout.order(0, Order::Run), None, "it runs already");
    let paused = rollout.order(0, Order::Pause).expect("it stops");
    assert_eq!(paused.to_string(), "The new revision stays at 10 %: it was ordered to pause.");
    assert_eq!(well(&mut rollout, 0, &mut all), []);
    assert_eq!(
        rollout.order(10_000, Order::Run).map(|change| change.phase),
        Some(Phase::Progressing)
    );
    assert_eq!(well(&mut rollout, 11, &mut all), [(15, 500), (20, 1_000)]);
    // A rollback is possible after all of the traffic has gone to the new revision.
    let aborted = rollout.order(30_000, Order::Abort).expect("it goes back");
    assert_eq!(aborted.from.new_revision(), Weight::WHOLE);
    assert_eq!(aborted.to.new_revision(), Weight::ZERO);
    assert_eq!(rollout.order(31_000, Order::Abort), None);
    assert_eq!(rollout.order(31_000, Order::Run), None, "what has ended stays as it is");
    let promoted = rollout.order(32_000, Order::Promote).expect("it goes over");
    assert_eq!(promoted.to.new_revision(), Weight::WHOLE);
}

#[test]
fn a_revision_that_fails_is_returned_while_it_is_paused() {
    let (mut rollout, _) = Rollout::begin(steps(&[100], 60_000), 0);
    assert!(rollout.order(0, Order::Pause).is_some());
    let mut all = <[Outcomes; 2]>::default();
    assert_eq!(rollout.observe(0, &all[0], &all[1]), None);
    all[0].count(900, 1);
    all[1].count(100, 8);
    let change = rollout.observe(10_000, &all[0], &all[1]).expect("it is worse");
    assert_eq!((change.phase, change.to.new_revision()), (Phase::Returned, Weight::ZERO));
    let told = change.to_string();
    for part in ["from 10 % to 0 %", "in the last 10 s 8 of its 100", "(8 %)", "1 of", "900"] {
        assert!(told.contains(part), "{told:?} does not say {part:?}");
    }
    assert!(matches!(change.reason, Reason::Worse(_)));
}

#[test]
fn it_goes_on_after_a_restart_where_it_was() {
    let settings = steps(&[100, 500], 5_000);
    for (phase, permille, expected) in [
        (Phase::Progressing, 100, 100),
        (Phase::Paused, 500, 500),
        (Phase::Promoted, 3, 1_000),
        (Phase::Returned, 500, 0),
        (Phase::Aborted, 500, 0),
    ] {
        let checkpoint = Checkpoint { phase, weight: weight(permille) };
        let rollout = Rollout::resume(settings.clone(), checkpoint, 0);
        assert_eq!(rollout.split().new_revision().permille(), expected, "{phase:?}");
        assert_eq!(rollout.phase(), phase);
    }
    let checkpoint = Checkpoint { phase: Phase::Progressing, weight: weight(100) };
    let mut rollout = Rollout::resume(settings, checkpoint, 0);
    let mut all = <[Outcomes; 2]>::default();
    assert_eq!(well(&mut rollout, 0, &mut all), [(5, 500)]);
    // Other steps are followed from the next one on, and weights never fall by them.
    rollout.follow(steps(&[10, 20, 400, 600], 1_000));
    assert_eq!(rollout.split().new_revision().permille(), 500);
    assert_eq!(well(&mut rollout, 10, &mut all)[0], (10, 600));
}

#[derive(Debug, Clone)]
enum Happening {
    Passed(i64),
    Seen { stable: (u16, u16), new: (u16, u16), slow_us: u64 },
    CountedAnew,
    Ordered(Order),
    Restarted,
    Resettled,
}

fn happening() -> impl Generator<Value = Happening> {
    let order = prop_oneof![
        Just(Order::Run),
        Just(Order::Pause),
        Just(Order::Promote),
        Just(Order::Abort),
    ];
    prop_oneof![
        2 => (-10_000_i64..100_000).prop_map(Happening::Passed),
        8 => (any::<(u16, u16)>(), any::<(u16, u16)>(), any::<u64>())
            .prop_map(|(stable, new, slow_us)| Happening::Seen { stable, new, slow_us }),
        1 => Just(Happening::CountedAnew),
        1 => order.prop_map(Happening::Ordered),
        1 => Just(Happening::Restarted),
        1 => Just(Happening::Resettled),
    ]
}

proptest! {
    #[test]
    fn shares_are_the_whole_and_changes_are_told_whatever_happens(
        happenings in proptest::collection::vec(happening(), 0..60),
        is_linear in any::<bool>(),
    ) {
        let settings = if is_linear { linear(60_000, 1_000) } else { steps(&[1, 50, 999], 3_000) };
        let (mut rollout, _) = Rollout::begin(settings.clone(), 0);
        let (mut now, mut all) = (0_i64, <[Outcomes; 2]>::default());
        let mut split = rollout.split();
        for happening in happenings {
            now += 1_000;
            let change = match happening {
                Happening::Passed(ms) => { now += ms; rollout.tick(now) }
                Happening::Seen { stable, new, slow_us } => {
                    for (outcomes, (requests, failed)) in all.iter_mut().zip([stable, new]) {
                        outcomes.count(requests.into(), failed.into());
                        outcomes.took(slow_us, requests.into());
                    }
                    rollout.observe(now, &all[0], &all[1])
                }
                Happening::CountedAnew => {
                    all = Default::default();
                    rollout.observe(now, &all[0], &all[1])
                }
                Happening::Ordered(order) => {
                    let change = rollout.order(now, order);
                    prop_assert_eq!(rollout.order(now, order), None, "an order holds once");
                    change
                }
                Happening::Restarted => {
                    rollout = Rollout::resume(settings.clone(), rollout.checkpoint(), now);
                    None
                }
                Happening::Resettled => { rollout.follow(steps(&[300, 400], 1_000)); None }
            };
            let (stable, new) = (rollout.split().stable_revision(), rollout.split().new_revision());
            prop_assert_eq!(stable.permille() + new.permille(), 1_000);
            // The traffic is divided otherwise if and only if that was told.
            match &change {
                Some(change) => {
                    prop_assert_eq!(change.from, split);
                    prop_assert_eq!(change.to, rollout.split());
                    prop_assert_eq!(change.phase, rollout.phase());
                    prop_assert!(!change.to_string().is_empty());
                }
                None => prop_assert_eq!(rollout.split(), split),
            }
            split = rollout.split();
            match rollout.phase() {
                Phase::Promoted => prop_assert_eq!(split, Split::with_new(Weight::WHOLE)),
                Phase::Returned | Phase::Aborted => {
                    prop_assert_eq!(split, Split::with_new(Weight::ZERO));
                }
                Phase::Progressing | Phase::Paused => prop_assert!(new > Weight::ZERO),
            }
            prop_assert!(!Progress(&rollout).to_string().is_empty());
        }
    }
}
