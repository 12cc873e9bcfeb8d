//! Whatever is written reads back as it was, and what is no recording is refused with its reason.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use tidegate_recording::recorded::OrderError;
use tidegate_recording::{
    Decision, End, Head, InstanceCounts, InstanceEvent, InstancePhase, Line, LineError, Order,
    Place, Recorded, RecordedTimeline, Request, Scaling, Start, VERSION,
};
use tidegate_timeline::Timeline;

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    any::<String>().prop_map(Cow::Owned)
}

fn scaling() -> impl Strategy<Value = Scaling> {
    let settings = prop::collection::btree_map(any::<String>(), any::<String>(), 0..5);
    let numbers = (any::<u32>(), any::<u32>(), any::<[u64; 4]>());
    let turns = (any::<Option<u32>>(), any::<Option<u64>>());
    let parts = (any::<String>(), settings, numbers, turns);
    parts.prop_map(|(policy, settings, numbers, (starts_at_once, start_turn_ms))| {
        let (initial, waiting_max, [idle_ms, tick_ms, timeout_ms, drain_ms]) = numbers;
        Scaling {
            policy,
            settings,
            initial,
            idle_ms,
            tick_ms,
            timeout_ms,
            drain_ms,
            waiting_max,
            starts_at_once,
            start_turn_ms,
        }
    })
}

fn head() -> impl Strategy<Value = Line<'static>> {
    let place = prop_oneof![Just(Place::FrontDoor), Just(Place::Sidecar)];
    let numbers = (any::<u64>(), any::<u32>(), any::<bool>());
    (place, any::<String>(), numbers, prop::option::of(scaling())).prop_map(
        |(recorded_at, revision, (began_unix_us, concurrency, adaptive), scaling)| {
            Line::Head(Head {
                version: VERSION,
                recorded_at,
                began_unix_us,
                revision,
                concurrency,
                adaptive,
                scaling,
            })
        },
    )
}

fn timeline() -> impl Strategy<Value = RecordedTimeline> {
    any::<[Option<u32>; 7]>().prop_map(|steps| {
        let mut at_us = 0;
        let after_us = steps.map(|step| {
            at_us += u64::from(step?);
            Some(at_us)
        });
        RecordedTimeline(Timeline::from_micros(after_us).expect("sorted"))
    })
}

fn request() -> impl Strategy<Value = Line<'static>> {
    let numbers = (any::<[u64; 4]>(), any::<u16>());
    let optional = (any::<Option<u64>>(), any::<Option<bool>>(), prop::option::of(text()));
    let optional = (optional, prop::option::of(timeline()));
    (numbers, optional, text()).prop_map(|((numbers, status), optional, revision)| {
        let [arrived_unix_us, wait_us, request_bytes, response_bytes] = numbers;
        let ((service_us, cold, instance), timeline) = optional;
        Line::Request(Request {
            arrived_unix_us,
            wait_us,
            service_us,
            status,
            request_bytes,
            response_bytes,
            cold,
            timeline,
            revision,
            instance,
        })
    })
}

fn instance() -> impl Strategy<Value = Line<'static>> {
    let phase = prop_oneof![
        Just(InstancePhase::Starting),
        Just(InstancePhase::Ready),
        Just(InstancePhase::Draining),
        Just(InstancePhase::Gone),
    ];
    (any::<u64>(), phase, text(), text()).prop_map(|(at_unix_us, phase, revision, instance)| {
        Line::Instance(InstanceEvent { at_unix_us, phase, revision, instance })
    })
}

fn decision() -> impl Strategy<Value = Line<'static>> {
    (any::<u64>(), any::<u32>(), text()).prop_map(|(at_unix_us, wanted, revision)| {
        Line::Decision(Decision { at_unix_us, wanted, revision })
    })
}

fn end() -> impl Strategy<Value = Line<'static>> {
    (any::<u64>(), any::<u64>()).prop_map(|(at_unix_us, lost)| Line::End(End { at_unix_us, lost }))
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        line in prop_oneof![head(), request(), instance(), decision(), end()],
    ) {
        let written = line.write();
        prop_assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(Line::read(&written).expect("it reads"), line);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Line::read(&bytes);
    }
}

fn read(text: &str) -> Result<Line<'_>, LineError> {
    Line::read(text.as_bytes())
}

fn front_door() -> Head {
    Head {
        version: VERSION,
        recorded_at: Place::FrontDoor,
        began_unix_us: 1_000_000,
        revision: "local/web".into(),
        concurrency: 4,
        adaptive: false,
        scaling: Some(Scaling {
            policy: "tidegate".into(),
            settings: BTreeMap::new(),
            initial: 0,
            idle_ms: 3_000,
            tick_ms: 2_000,
            timeout_ms: 60_000,
            drain_ms: 60_000,
            waiting_max: 10_000,
            starts_at_once: Some(2),
            start_turn_ms: Some(2_000),
        }),
    }
}

#[test]
fn another_version_is_refused_by_its_number() {
    let error = read("{\"kind\":\"head\",\"tidegate_recording\":3}").expect_err("refused");
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[test]
fn what_is_wrong_with_a_line_is_said_with_its_column() {
    let error = read("{\"kind\":\"request\",\"arrived_unix_us\":-1}").expect_err("refused");
    let LineError::Malformed { column, problem } = error else { panic!("{error}") };
    assert_eq!(column, 38, "{problem}");
    assert!(problem.contains("-1"), "{problem}");
}

#[test]
fn fields_of_later_releases_are_passed_over() {
    let text = "{\"kind\":\"end\",\"at_unix_us\":5,\"lost\":0,\"new\":[1]}";
    assert_eq!(read(text).expect("reads"), Line::End(End { at_unix_us: 5, lost: 0 }));
}

#[test]
fn start_ups_and_counts_come_from_the_changes_of_instances() {
    let mut recorded = Recorded::begin(Line::Head(front_door())).expect("a head");
    let change = |ms: u64, instance: &'static str, phase| {
        Line::Instance(InstanceEvent {
            at_unix_us: 1_000_000 + ms * 1_000,
            phase,
            revision: "local/web".into(),
            instance: instance.into(),
        })
    };
    for line in [
        change(0, "a", InstancePhase::Starting),
        change(100, "b", InstancePhase::Starting),
        change(250, "a", InstancePhase::Ready),
        // It crashed before it was ready: that is no start-up.
        change(300, "b", InstancePhase::Gone),
        change(400, "a", InstancePhase::Draining),
        change(500, "a", InstancePhase::Gone),
    ] {
        recorded.add(line).expect("in order");
    }
    let start = |from_us, until_us, became_ready| Start { from_us, until_us, became_ready };
    let first = start(0, 250_000, true);
    assert_eq!(recorded.starts(), [first, start(100_000, 300_000, false)]);
    let counts = |starting, ready, draining| InstanceCounts { starting, ready, draining };
    assert_eq!(recorded.instances_at(99_999), counts(1, 0, 0));
    assert_eq!(recorded.instances_at(100_000), counts(2, 0, 0));
    assert_eq!(recorded.instances_at(299_999), counts(1, 1, 0));
    assert_eq!(recorded.instances_at(450_000), counts(0, 0, 1));
    assert_eq!(recorded.instances_at(500_000), counts(0, 0, 0));
    assert_eq!(recorded.length_us(), None);
    recorded.add(Line::End(End { at_unix_us: 2_000_000, lost: 0 })).expect("in order");
    assert_eq!(recorded.length_us(), Some(1_000_000));
}

/// So many are wanted, milliseconds after the beginning.
fn wanted(ms: u64, wanted: u32) -> Line<'static> {
    let at_unix_us = 1_000_000 + ms * 1_000;
    Line::Decision(Decision { at_unix_us, wanted, revision: "local/web".into() })
}

/// An instance starts, milliseconds after the beginning.
fn starting(ms: u64, instance: &'static str) -> Line<'static> {
    Line::Instance(InstanceEvent {
        at_unix_us: 1_000_000 + ms * 1_000,
        phase: InstancePhase::Starting,
        revision: "local/web".into(),
        instance: instance.into(),
    })
}

#[test]
fn starts_follow_from_the_decision_before_them() {
    let mut recorded = Recorded::begin(Line::Head(front_door())).expect("a head");
    for line in [
        starting(0, "initial"),
        wanted(10, 2),
        starting(12, "a"),
        starting(15, "b"),
        // One that replaces another.
        starting(40, "c"),
        wanted(50, 1),
        wanted(60, 2),
        starting(61, "d"),
    ] {
        recorded.add(line).expect("in order");
    }
    let order = |at_us, starts: &[u64]| Order { at_us, starts_us: starts.to_vec() };
    let expected = [order(10_000, &[12_000, 15_000]), order(60_000, &[61_000])];
    assert_eq!(recorded.orders(), expected);
}

#[test]
fn those_that_take_turns_start_in_the_order_in_which_they_were_wanted() {
    let mut recorded = Recorded::begin(Line::Head(front_door())).expect("a head");
    for line in [
        wanted(0, 3),
        starting(1, "a"),
        wanted(10, 6),
        starting(11, "b"),
        // Two of the six are not wanted any more before their turn comes.
        wanted(12, 4),
        starting(20, "c"),
        starting(30, "d"),
        starting(40, "replaces one"),
    ] {
        recorded.add(line).expect("in order");
    }
    let order = |at_us, starts: &[u64]| Order { at_us, starts_us: starts.to_vec() };
    let expected = [order(0, &[1_000, 11_000, 20_000]), order(10_000, &[30_000])];
    assert_eq!(recorded.orders(), expected);
}

#[test]
fn a_recording_has_one_head_unless_sidecars_share_it() {
    let end = Line::End(End { at_unix_us: 0, lost: 0 });
    assert_eq!(Recorded::begin(end).expect_err("refused"), OrderError::Headless);
    let mut recorded = Recorded::begin(Line::Head(front_door())).expect("a head");
    let again = recorded.add(Line::Head(front_door()));
    assert_eq!(again, Err(OrderError::SecondHead));
    let sidecar = || Head { recorded_at: Place::Sidecar, scaling: None, ..front_door() };
    let mut shared = Recorded::begin(Line::Head(sidecar())).expect("a head");
    shared.add(Line::Head(sidecar())).expect("another sidecar's");
}

#[test]
fn a_timeline_that_runs_backwards_is_refused() {
    let line = |timeline: &str| {
        format!(
            "{{\"kind\":\"request\",\"arrived_unix_us\":7,\"wait_us\":9,\"status\":200,\
             \"request_bytes\":0,\"response_bytes\":0,\"cold\":true,\"timeline\":{timeline},\
             \"revision\":\"local/web\",\"instance\":\"web-1\"}}"
        )
    };
    let error = read(&line("{\"ready_us\":9,\"forwarded_us\":8}")).expect_err("refused");
    assert!(error.to_string().contains("follow each other"), "{error}");
    let good = line("{\"ready_us\":8,\"forwarded_us\":9,\"first_byte_us\":12}");
    let mut recorded = Recorded::begin(Line::Head(front_door())).expect("it begins");
    recorded.add(read(&good).expect("it reads")).expect("it belongs");
    let [start] = &recorded.cold_starts[..] else { panic!("{recorded:?}") };
    assert_eq!((start.instance.as_str(), start.timeline.total().as_micros()), ("web-1", 12));
}
