//! The story: a controller may be killed, stopped or cut off at any moment, and nobody is to
//! notice.
//!
//! Each world has an app behind two sidecars and an activator, clients that never pause, and a
//! controller. In one of them nothing happens. In the others the controller is killed and started
//! again, stopped and continued, cut off from its reporters and connected again, or killed while
//! another stands by. All of them see the same load, which rises once. Then no request may have
//! failed anywhere, reporters must have come back each time, and what was wanted must have fallen
//! nowhere that it did not fall without trouble, and risen as far.
//!
//! The long form, fifty times each with pauses of half a minute where the controller is stopped or
//! cut off, and the times that reporters took:
//! `cargo test -p tidegate --test blind_window -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so at once")]

mod cut;
#[path = "../metrics/sidecar_command.rs"]
mod sidecar_command;
mod wanted;
mod world;

use std::thread;
use std::time::{Duration, Instant};

use wanted::Wanted;
use world::{Trouble, World};

/// Clients at first, and after the load has risen. An instance is to have seven requests at a time.
/// On a busy machine a client takes its time between two requests: a fifth of it changes nothing.
const CLIENTS: [usize; 2] = [13, 27];

/// Instances that these need: at first as many as there are.
const WANTED: [i32; 2] = [2, 4];

/// Until the windows hold nothing of how it began.
const SETTLED: Duration = Duration::from_secs(9);

/// How a run goes.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// How often there is trouble; after half of it the load rises.
    rounds: u32,
    /// How long the controller is stopped, or cut off.
    away: Duration,
    /// From one trouble to the next: so long, and up to so much longer by chance.
    pause: [Duration; 2],
    /// What is left to the windows at the end: their length, and some ticks.
    rest: Duration,
}

/// What came of a run.
struct Outcome {
    trouble: Trouble,
    wanted: Vec<Wanted>,
    failed: usize,
    answered: usize,
    /// How long reporters took to be back, each time.
    back: Vec<Duration>,
}

fn run(trouble: Trouble, plan: Plan) -> Outcome {
    let mut world = World::start(trouble);
    let mut chance = trouble as u64 + 1;
    let mut random = move || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from(chance >> 40).unwrap_or(0) % 1_000
    };
    world.load(CLIENTS[0]);
    world.until_wanted(WANTED[0]);
    thread::sleep(SETTLED);
    let watched_from = world.unix_ms();
    let begun = Instant::now();
    let mut back = Vec::new();
    for round in 0..plan.rounds {
        if round == plan.rounds / 2 {
            world.load(CLIENTS[1]);
        }
        let [least, more] = plan.pause;
        // The moment is as random within a tick as within a second.
        thread::sleep(least + more * random() / 1_000);
        back.extend(world.trouble(plan.away));
    }
    world.until_wanted(WANTED[1]);
    // Every world lasts as long as the one in which nothing happens.
    thread::sleep(plan.rest.saturating_sub(begun.elapsed()));
    let (failed, answered) = world.stop_clients();
    let mut wanted = world.wanted();
    wanted.retain(|decision| decision.unix_ms >= watched_from);
    Outcome { trouble, wanted, failed, answered, back }
}

/// How often less was wanted than a decision before.
fn falls(wanted: &[Wanted]) -> usize {
    wanted.windows(2).filter(|pair| pair[1].instances < pair[0].instances).count()
}

fn compare(outcome: &Outcome, calm: &Outcome) {
    let Outcome { trouble, wanted, failed, answered, .. } = outcome;
    let shown: Vec<i32> = wanted.iter().map(|decision| decision.instances).collect();
    for pair in wanted.windows(2) {
        let [before, after] = pair else { continue };
        if after.instances < before.instances {
            let apart_ms = after.unix_ms - before.unix_ms;
            println!("{trouble:?}: {} after {} ms: {}", before.reason, apart_ms, after.reason);
        }
    }
    assert_eq!(*failed, 0, "{trouble:?}: of {answered} requests");
    assert!(*answered > 0, "{trouble:?}: nobody was answered");
    assert!(falls(wanted) <= falls(&calm.wanted), "{trouble:?}: less is wanted: {shown:?}");
    let least = |outcome: &Outcome| outcome.wanted.iter().map(|w| w.instances).min();
    assert!(least(outcome) >= least(calm), "{trouble:?}: less is wanted: {shown:?}");
    let last = |outcome: &Outcome| outcome.wanted.last().map(|w| w.instances);
    assert!(last(outcome) >= last(calm), "{trouble:?}: a rise was missed: {shown:?}");
}

fn all(plan: Plan) -> Vec<Outcome> {
    thread::scope(|scope| {
        let runs = Trouble::ALL.map(|trouble| scope.spawn(move || run(trouble, plan)));
        runs.map(|run| run.join().unwrap()).into_iter().collect()
    })
}

#[test]
fn nobody_notices_that_a_controller_is_gone() {
    let outcomes = all(Plan {
        rounds: 3,
        away: Duration::from_secs(2),
        pause: [Duration::from_millis(300), Duration::from_millis(1_500)],
        rest: Duration::from_secs(12),
    });
    let calm = &outcomes[0];
    outcomes.iter().for_each(|outcome| compare(outcome, calm));
}

/// Whether a second is kept is a matter of the machine, so only the long form asks for it.
#[test]
#[ignore = "takes half an hour"]
fn fifty_times_each() {
    const BACK_WITHIN: Duration = Duration::from_secs(1);
    let outcomes = all(Plan {
        rounds: world::from_environment("TIDEGATE_ROUNDS", 50),
        away: Duration::from_secs(world::from_environment("TIDEGATE_AWAY_SECONDS", 30).into()),
        pause: [Duration::from_millis(500), Duration::from_secs(6)],
        rest: Duration::from_secs(60),
    });
    for outcome in &outcomes {
        let Outcome { trouble, wanted, failed, answered, back } = outcome;
        let mut sorted = back.clone();
        sorted.sort();
        let (median, most) = (sorted.get(sorted.len() / 2), sorted.last());
        println!(
            "{trouble:?}: {} decisions, {} falls, last {:?}; {failed} of {} requests failed; back \
             {} times, median {median:?}, longest {most:?}",
            wanted.len(),
            falls(wanted),
            wanted.last().map(|w| w.instances),
            failed + answered,
            back.len(),
        );
    }
    let calm = &outcomes[0];
    outcomes.iter().for_each(|outcome| compare(outcome, calm));
    for outcome in outcomes.iter().filter(|outcome| outcome.trouble == Trouble::Killed) {
        assert!(outcome.back.iter().all(|back| *back <= BACK_WITHIN), "{:?}", outcome.back);
    }
}
