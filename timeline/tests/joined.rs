//! What two processes saw of one request, joined: no phase is negative, none is missing, and
//! together they are what the client waited.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_timeline::{Moment, Start, Timeline};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn start_ms(at: [i128; 5]) -> Start<i128> {
    let [decided, actuated, started, listening, ready] = at.map(|ms| Some(ms * 1_000));
    Start { decided, actuated, started, listening, ready }
}

#[test]
fn the_sentence_names_every_phase() {
    let timeline = Timeline::of(start_ms([1, 1, 3, 55, 57]), ms(58), Some(ms(61)));
    assert_eq!(
        timeline.to_string(),
        "cold start of 61.0 ms: decided after 1.0 ms, actuated +0.0 ms, started +2.0 ms, \
         listening +52.0 ms, ready +2.0 ms, forwarded +1.0 ms, first byte +3.0 ms"
    );
    assert_eq!(
        timeline.server_timing().to_string(),
        "decide;dur=1.000, actuate;dur=0.000, start;dur=2.000, listen;dur=52.000, \
         ready;dur=2.000, forward;dur=1.000, respond;dur=3.000, cold-start;dur=61.000"
    );
}

#[test]
fn a_request_that_came_while_an_instance_started_waited_for_the_rest_only() {
    let timeline = Timeline::of(start_ms([-900, -900, -890, 100, 101]), ms(102), Some(ms(103)));
    let lengths: Vec<_> = timeline.phases().map(|phase| phase.length).collect();
    assert_eq!(lengths, [ms(0), ms(0), ms(0), ms(100), ms(1), ms(1), ms(1)]);
}

#[test]
fn what_nobody_saw_belongs_to_the_next_phase() {
    let start = Start { ready: Some(12_000_000), ..Start::default() };
    let timeline = Timeline::of(start, ms(12_500), None);
    assert_eq!(timeline.to_string(), "cold start of 12.5 s: ready after 12.0 s, forwarded +500 ms");
    let nothing = Timeline::of(Start::default(), ms(4), Some(ms(150)));
    assert_eq!(
        nothing.to_string(),
        "cold start of 150 ms: forwarded after 4.0 ms, first byte +146 ms"
    );
    assert_eq!(Timeline::default().to_string(), "cold start of 0.0 ms");
}

#[test]
fn a_timeline_that_runs_backwards_is_none() {
    let timeline = Timeline::of(start_ms([1, 1, 3, 55, 57]), ms(58), Some(ms(61)));
    assert_eq!(Timeline::from_micros(timeline.micros()), Some(timeline));
    let mut backwards = timeline.micros();
    backwards[Moment::Ready as usize] = Some(59_000);
    assert_eq!(Timeline::from_micros(backwards), None);
}

proptest! {
    #[test]
    fn phases_sum_up_to_the_total_whatever_clocks_show(
        at in proptest::array::uniform5(proptest::option::of(any::<i64>())),
        forwarded_us in 0..10_000_000_u64,
        first_byte_us in proptest::option::of(0..10_000_000_u64),
    ) {
        let [decided, actuated, started, listening, ready] = at.map(|us| us.map(i128::from));
        let start = Start { decided, actuated, started, listening, ready };
        let forwarded = Duration::from_micros(forwarded_us);
        let timeline = Timeline::of(start, forwarded, first_byte_us.map(Duration::from_micros));
        let mut from = Duration::ZERO;
        for phase in timeline.phases() {
            prop_assert_eq!(phase.from, from);
            from += phase.length;
        }
        prop_assert_eq!(from, timeline.total());
        prop_assert_eq!(timeline.after(Moment::Forwarded), Some(forwarded));
        prop_assert!(timeline.total() >= forwarded);
        prop_assert_eq!(Timeline::from_micros(timeline.micros()), Some(timeline));
    }
}
