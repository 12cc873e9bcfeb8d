//! The story: under keep-alive the newest instance was removed when one was too many, whatever it
//! was doing. A request of 400 s that ran on it was killed at the end of the time for draining,
//! while an idle instance stayed.
//!
//! Keep-alive is a rule about single instances: each goes when it has itself been idle for so long.
//! The policy computes the number from the demand; an independent pool of instances, each with a
//! clock of its own, comes to the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;
use tidegate_sim::scenario::StartUp;
use tidegate_sim::{Distribution, PolicyChoice, RevisionModel, Scenario, SimResult, SimSpan, run};

#[path = "traffic/rows.rs"]
mod rows;

use rows::Rows;

fn simulate(rows: &Rows, keep: SimSpan, duration: SimSpan) -> SimResult {
    let scenario = Scenario {
        duration: Some(duration),
        revision: RevisionModel {
            policy: PolicyChoice::KeepAlive(keep),
            concurrency: 1,
            start_up: StartUp::total(Distribution::Constant(SimSpan::ZERO)),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    };
    run(&scenario, rows, &mut ()).expect("it runs").result
}

#[test]
fn a_busy_instance_is_not_the_one_that_goes() {
    // Two at once make two instances; the long request is on the second one when the first falls
    // idle, and the demand falls to one.
    let rows =
        Rows(vec![(0, 1_000), (100, 1_000), (5_000, 100), (100_000, 1_000), (100_200, 400_000)]);
    let result = simulate(&rows, SimSpan::from_secs(60), SimSpan::from_secs(900));
    assert_eq!((result.completed, result.failed), (5, 0));
}

/// A pool whose instances each have a clock of their own.
struct Pool {
    keep_ms: u64,
    /// When idle instances were freed; a request takes the one that was freed last.
    idle: Vec<u64>,
    busy: BinaryHeap<Reverse<u64>>,
    started: u64,
    alive_ms: u64,
}

impl Pool {
    fn advance(&mut self, now_ms: u64) {
        while let Some(Reverse(freed)) = self.busy.peek().copied().filter(|next| next.0 <= now_ms) {
            self.busy.pop();
            self.expire(freed);
            self.idle.push(freed);
        }
        self.expire(now_ms);
    }

    /// An instance still takes a request that comes at the very end of its time.
    fn expire(&mut self, now_ms: u64) {
        let keep_ms = self.keep_ms;
        let before = self.idle.len();
        self.idle.retain(|freed| freed + keep_ms >= now_ms);
        self.alive_ms += keep_ms * (before - self.idle.len()) as u64;
    }

    fn take(&mut self, (at_ms, service_ms): (u64, u64)) {
        self.advance(at_ms);
        match self.idle.pop() {
            Some(freed) => self.alive_ms += at_ms - freed,
            None => self.started += 1,
        }
        self.alive_ms += service_ms;
        self.busy.push(Reverse(at_ms + service_ms));
    }
}

proptest! {
    #[test]
    fn the_number_is_what_clocks_of_single_instances_come_to(
        gaps_and_services in prop::collection::vec((0_u64..4_000, 1_u64..9_000), 1..120),
        keep_s in 1_u64..20,
    ) {
        let mut at_ms = 0;
        let rows = gaps_and_services.into_iter().map(|(gap, service)| {
            at_ms += gap;
            (at_ms, service)
        });
        let rows = Rows(rows.collect());
        let keep = SimSpan::from_secs(keep_s);
        // Long enough for the last instance to have gone.
        let end_ms = at_ms + 40_000;
        let result = simulate(&rows, keep, SimSpan::from_millis(end_ms));
        let mut pool = Pool {
            keep_ms: keep_s * 1_000,
            idle: Vec::new(),
            busy: BinaryHeap::new(),
            started: 0,
            alive_ms: 0,
        };
        rows.0.iter().for_each(|row| pool.take(*row));
        pool.advance(end_ms);
        prop_assert_eq!(result.extra.instances_started, pool.started);
        prop_assert_eq!(result.cold_starts, pool.started);
        let apart = (result.instance_seconds - pool.alive_ms as f64 / 1e3).abs();
        prop_assert!(apart < 1e-4, "{} s beside {} ms", result.instance_seconds, pool.alive_ms);
    }
}
