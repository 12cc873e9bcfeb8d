//! A thousand rollouts of a revision that is no worse, and as many of some that are: how many are
//! returned, how many requests that takes, and what it costs.

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidegate_rollout::{
    Gate, Measure, Outcomes, Phase, Reason, Rollout, Settings, Step, Strategy, Weight,
};

const ROLLOUTS: u64 = 1_000;

/// How a revision does in one second.
#[derive(Clone, Copy)]
struct Behavior {
    /// Failures among a thousand requests.
    failures_permille: f64,
    /// Service times are multiplied by it.
    slowdown: f64,
}

const GOOD: Behavior = Behavior { failures_permille: 1.0, slowdown: 1.0 };

/// Service times in microseconds, each as frequent as any other: from quick ones to a long tail.
const SERVICE_TIMES_US: [u64; 32] = [
    8_000, 8_500, 9_000, 9_200, 9_500, 9_800, 10_000, 10_300, 10_600, 11_000, 11_300, 11_700,
    12_000, 12_500, 13_000, 13_500, 14_000, 14_600, 15_300, 16_000, 17_000, 18_000, 19_500, 21_000,
    23_000, 26_000, 30_000, 36_000, 45_000, 60_000, 110_000, 320_000,
];

struct Traffic {
    random: Xoshiro256PlusPlus,
    requests_per_second: u64,
}

impl Traffic {
    fn chance(&mut self) -> f64 {
        (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A second's requests, divided as the rollout says.
    fn second(&mut self, rollout: &Rollout, both: [Behavior; 2], all: &mut [Outcomes; 2]) {
        let share = f64::from(rollout.split().new_revision().permille()) / 1_000.0;
        let mut times = [[0; SERVICE_TIMES_US.len()]; 2];
        for _ in 0..self.requests_per_second {
            let side = usize::from(self.chance() < share);
            let failed = self.chance() * 1_000.0 < both[side].failures_permille;
            all[side].count(1, u64::from(failed));
            times[side][(self.random.next_u64() % 32) as usize] += 1;
        }
        for ((outcomes, behavior), times) in all.iter_mut().zip(both).zip(times) {
            for (us, requests) in SERVICE_TIMES_US.iter().zip(times) {
                outcomes.took((*us as f64 * behavior.slowdown) as u64, requests);
            }
        }
    }
}

fn settings(permilles: &[i64], hold_ms: u64) -> Settings {
    let step = |permille: &i64| Step {
        weight: Weight::from_permille(*permille).expect("it is in range"),
        hold_ms,
    };
    let strategy = Strategy::steps(permilles.iter().map(step).collect()).expect("they rise");
    Settings { strategy, gate: Gate::default() }
}

/// How a rollout ended: after how many seconds, and with how many requests of the new revision.
struct Ended {
    phase: Phase,
    measure: Option<Measure>,
    seconds: i64,
    new_requests: u64,
    new_failures: u64,
}

fn run(
    seed: u64,
    requests_per_second: u64,
    settings: Settings,
    both: impl Fn(i64) -> [Behavior; 2],
) -> Ended {
    let random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut traffic = Traffic { random, requests_per_second };
    let (mut rollout, _) = Rollout::begin(settings, 0);
    let mut all = [Outcomes::default(), Outcomes::default()];
    let mut measure = None;
    let mut second = 0;
    while rollout.phase() == Phase::Progressing && second < 3_600 {
        if let Some(change) = rollout.observe(second * 1_000, &all[0], &all[1])
            && let Reason::Worse(finding) = &change.reason
        {
            measure = Some(finding.measure);
            break;
        }
        traffic.second(&rollout, both(second), &mut all);
        second += 1;
    }
    let [_, new] = &all;
    let (new_requests, new_failures) = (new.finished(), new.failed());
    Ended { phase: rollout.phase(), measure, seconds: second, new_requests, new_failures }
}

fn at(sorted: &[i64], share: f64) -> i64 {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[test]
fn of_a_thousand_rollouts_of_a_good_revision_at_most_two_are_returned() {
    let mut returned = 0;
    for seed in 0..ROLLOUTS {
        let ended = run(seed, 100, settings(&[100, 300], 30_000), |second| {
            // Both fail more at times, and are slower: a dependency of theirs has trouble.
            let trouble = (20..30).contains(&second);
            let common = Behavior {
                failures_permille: if trouble { 100.0 } else { 5.0 },
                slowdown: if trouble { 3.0 } else { 1.0 },
            };
            [common; 2]
        });
        match ended.phase {
            Phase::Promoted => {}
            Phase::Returned => returned += 1,
            other => panic!("seed {seed} ended as {other:?}"),
        }
    }
    println!("{returned} of {ROLLOUTS} good revisions were returned");
    assert!(returned <= 2, "{returned} of {ROLLOUTS} were returned");
}

#[test]
fn a_revision_that_fails_for_one_of_twenty_is_returned_within_ten_failures_or_so() {
    for (requests_per_second, most_s) in [(100, 60), (1_000, 10)] {
        let (mut seconds, mut requests, mut failures) = (Vec::new(), 0, Vec::new());
        for seed in 0..ROLLOUTS / 4 {
            let bad = Behavior { failures_permille: 50.0, ..GOOD };
            let steps = settings(&[100, 500], 120_000);
            let ended = run(seed, requests_per_second, steps, |_| [GOOD, bad]);
            assert_eq!(ended.phase, Phase::Returned, "seed {seed}");
            assert_eq!(ended.measure, Some(Measure::Errors), "seed {seed}");
            seconds.push(ended.seconds);
            requests += ended.new_requests;
            failures.push(i64::try_from(ended.new_failures).expect("few"));
        }
        seconds.sort_unstable();
        failures.sort_unstable();
        println!(
            "{requests_per_second} requests/s, a tenth to a revision with 5 % failures: returned \
             after {} s in the median, {} s at most; {} requests of it in the mean, {} failures in \
             the median, {} at most",
            at(&seconds, 0.5),
            at(&seconds, 1.0),
            requests / (ROLLOUTS / 4),
            at(&failures, 0.5),
            at(&failures, 1.0),
        );
        assert!(at(&seconds, 1.0) <= most_s, "it took {} s", at(&seconds, 1.0));
    }
}

#[test]
fn a_slow_revision_is_returned() {
    let mut seconds = Vec::new();
    for seed in 0..ROLLOUTS / 10 {
        let slow = Behavior { slowdown: 2.5, ..GOOD };
        let ended = run(seed, 100, settings(&[100, 500], 300_000), |_| [GOOD, slow]);
        assert_eq!(ended.phase, Phase::Returned, "seed {seed}");
        assert!(matches!(ended.measure, Some(Measure::Latency { .. })), "seed {seed}");
        seconds.push(ended.seconds);
    }
    seconds.sort_unstable();
    println!(
        "100 requests/s, a tenth to a revision 2.5 times as slow: returned after {} s in the \
         median, {} s at most",
        at(&seconds, 0.5),
        at(&seconds, 1.0),
    );
    assert!(at(&seconds, 1.0) <= 60, "it took {} s", at(&seconds, 1.0));
}

#[test]
fn a_revision_that_breaks_late_is_returned_as_well() {
    for seed in 0..ROLLOUTS / 20 {
        let ended = run(seed, 100, settings(&[100, 300], 240_000), |second| {
            let failures_permille = if second >= 300 { 50.0 } else { 1.0 };
            [GOOD, Behavior { failures_permille, ..GOOD }]
        });
        assert_eq!(ended.phase, Phase::Returned, "seed {seed}");
        assert!((300..=330).contains(&ended.seconds), "seed {seed}: {} s", ended.seconds);
    }
}
