//! A burst at the one instance of a revision whose clients reach it directly.
//!
//! Only what activators held counted at once; what ran and waited at the instance itself counted by
//! the averages of seconds. So of fifty requests, thirty asked for instances, and the others waited
//! until the windows had seen them.

use tidegate_autoscaler::driver::URGENT_GAP_MS;

use super::fixture::{Fixture, Stat, declaration, revision, stat};
use crate::report::Report;

/// Requests at the instance: as many as it takes, and as many again in its queue.
const AT_INSTANCE: u32 = 20;

/// Requests that it has handed on to an activator.
const HANDED_ON: u32 = 30;

/// As many as take fifty requests, each ten.
const ENOUGH: i32 = 5;

/// As many as take them at 70 % of that, which the averages ask for once they know nothing else,
/// and one more: what is recorded before its second is over may fall into the one before.
const AVERAGED_MAX: i32 = 9;

fn busy(sequence: u64, length_ms: u32) -> Stat {
    let Stat(report) = stat(sequence, f64::from(AT_INSTANCE)).ready().limit(10);
    Stat(Report { waiting: 10, length_ms, ..report }).in_flight(AT_INSTANCE)
}

#[test]
fn all_of_it_counts_at_once_and_once() {
    let mut world = Fixture::remote(declaration(10, "1"));
    let (activator, sidecar) = (world.activator(), world.sidecar("web-1"));
    world.run_for(20, |world, second| {
        world.instance_reports(sidecar, stat(second + 1, 0.0).ready().limit(10));
    });
    world.instance_reports(sidecar, busy(21, 20));
    world.activator_reports(activator, 1, HANDED_ON);
    world.pass(URGENT_GAP_MS);
    let last =
        |world: &Fixture| world.state.decisions(&revision(), 1).expect("it is known")[0].replicas();
    assert_eq!(last(&world), ENOUGH);
    world.run_for(10, |world, second| {
        world.instance_reports(sidecar, busy(22 + second, 1_000));
        world.activator_reports(activator, 2 + second, HANDED_ON);
        let wanted = last(world);
        assert!((ENOUGH..=AVERAGED_MAX).contains(&wanted), "{wanted} in second {second}");
    });
    world.recount();
}
