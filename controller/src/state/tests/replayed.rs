//! The story: a report of an activator that came twice counted twice, and an older one took the
//! place of a newer; how requests ended was counted again with every copy of an instance's report.
//!
//! A network may repeat and delay, and a reporter may lie: neither may change what was decided by
//! the reports that count.

use proptest::prelude::*;
use tidegate_rollout::Outcomes;

use super::fixture::{Fixture, declaration, revision, stat};
use crate::event::{Effect, Event};
use crate::identity::ReporterId;
use crate::report::Report;

const INSTANCES: usize = 3;

/// What one reporter says in one second.
#[derive(Debug, Clone, Copy)]
struct Said {
    concurrency: u32,
    waiting: u32,
    /// How often something that was sent before comes again behind it, and how far back it is.
    copies: usize,
    back: u64,
    /// A copy may be the same, or anything else under its number.
    lie: Option<u32>,
}

fn said() -> impl Strategy<Value = Said> {
    let rare = prop_oneof![4 => Just(0_u32), 1 => 1_u32..30];
    (0_u32..40, rare, 0_usize..3, 0_u64..8, prop::option::of(0_u32..500)).prop_map(
        |(concurrency, waiting, copies, back, lie)| Said {
            concurrency,
            waiting,
            copies,
            back,
            lie,
        },
    )
}

/// The seconds of every instance and of one activator.
fn seconds() -> impl Strategy<Value = Vec<[Said; INSTANCES + 1]>> {
    let said = || said();
    prop::collection::vec([said(), said(), said(), said()], 1..40)
}

fn report(sequence: u64, said: Said) -> Report {
    let mut outcomes = Outcomes::default();
    outcomes.count(said.concurrency.into(), 0);
    Report {
        waiting: said.waiting,
        in_flight: said.concurrency + said.waiting,
        outcomes,
        ..stat(sequence, f64::from(said.concurrency)).ready().0
    }
}

/// Whether the world also sends what no honest one would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum World {
    Honest,
    Replaying,
}

/// What was decided, and how many requests ended.
fn run(seconds: &[[Said; INSTANCES + 1]], world: World) -> (Vec<(i64, i32)>, Option<Outcomes>) {
    let mut fixture = Fixture::remote(declaration(10, "0"));
    let mut reporters: Vec<ReporterId> =
        (0..INSTANCES).map(|number| fixture.sidecar(&format!("web-{number}"))).collect();
    reporters.push(fixture.activator());
    let mut effects = Vec::new();
    for (sequence, said) in (1..).zip(seconds) {
        effects.extend(fixture.pass(1_000));
        for (nth, (reporter, said)) in reporters.iter().zip(said).enumerate() {
            let owner = (nth == INSTANCES).then(revision);
            let mut send = |report: Report| {
                let report = Report { revision: owner.clone(), ..report };
                fixture.apply(Event::Reported { reporter: *reporter, report })
            };
            effects.extend(send(report(sequence, *said)));
            if world == World::Honest {
                continue;
            }
            for copy in 0..said.copies {
                let earlier = sequence.saturating_sub(said.back + copy as u64).max(1);
                let at = usize::try_from(earlier).expect("few") - 1;
                let honest = seconds[at][nth];
                let told = said.lie.map_or(honest, |lie| Said { concurrency: lie, ..honest });
                effects.extend(send(report(earlier, told)));
            }
        }
        fixture.recount();
    }
    effects.extend(fixture.pass(3_000));
    let decided = effects.iter().filter_map(|effect| match effect {
        Effect::Decided(record) => Some((record.unix_ms, record.replicas())),
        _ => None,
    });
    (decided.collect(), fixture.state.outcomes(&revision()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_comes_again_or_late_changes_nothing(seconds in seconds()) {
        prop_assert_eq!(run(&seconds, World::Honest), run(&seconds, World::Replaying));
    }

    /// What overtakes another is the newest from there on; nothing counts more than once, so no
    /// decision is for more than was ever there.
    #[test]
    fn what_is_overtaken_is_left_out(
        load in prop::collection::vec(0_u32..40, 2..30),
        swaps in prop::collection::vec(0_usize..30, 0..10),
    ) {
        let mut order: Vec<usize> = (0..load.len()).collect();
        for swap in swaps {
            if swap + 1 < order.len() {
                order.swap(swap, swap + 1);
            }
        }
        let mut fixture = Fixture::remote(declaration(10, "0"));
        let reporter = fixture.sidecar("web-1");
        let most = load.iter().copied().max().unwrap_or(0);
        for nth in order {
            fixture.pass(1_000);
            let sequence = nth as u64 + 1;
            let sent = stat(sequence, f64::from(load[nth])).ready().in_flight(load[nth]);
            fixture.instance_reports(reporter, sent);
            fixture.recount();
        }
        fixture.pass(2_000);
        let status = fixture.state.statuses().remove(0);
        let stable = status.stable_concurrency;
        prop_assert!(stable <= f64::from(most) + 1e-6, "{stable} of {most}");
        prop_assert!(status.in_flight <= most);
    }
}
