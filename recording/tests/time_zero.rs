//! A replay ticks from its time zero. The recording began some milliseconds before the controller
//! did, and a replay whose ticks fell so much earlier saw other instances ready and other requests
//! waiting: where a burst was recorded, it wanted eight instances instead of five.

use tidegate_recording::{
    Decision, Head, InstanceEvent, InstancePhase, Line, Place, Recorded, VERSION,
};

const BEGAN_US: u64 = 1_000_000;

fn begun() -> Recorded {
    let head = Head {
        version: VERSION,
        recorded_at: Place::FrontDoor,
        began_unix_us: BEGAN_US,
        revision: "local/web".into(),
        concurrency: 4,
        adaptive: false,
        scaling: None,
    };
    Recorded::begin(Line::Head(head)).expect("a head")
}

fn decision(at_unix_us: u64, wanted: u32) -> Line<'static> {
    Line::Decision(Decision { at_unix_us, wanted, revision: "local/web".into() })
}

fn starting(at_unix_us: u64) -> Line<'static> {
    Line::Instance(InstanceEvent {
        at_unix_us,
        phase: InstancePhase::Starting,
        revision: "local/web".into(),
        instance: "web-1".into(),
    })
}

#[test]
fn time_begins_with_the_first_decision() {
    let mut recorded = begun();
    assert_eq!(recorded.began_unix_us, BEGAN_US);
    for line in [decision(BEGAN_US + 8_700, 0), decision(BEGAN_US + 3_008_700, 1)] {
        recorded.add(line).expect("in order");
    }
    recorded.add(starting(BEGAN_US + 3_008_900)).expect("in order");
    assert_eq!(recorded.began_unix_us, BEGAN_US + 8_700);
    assert_eq!(recorded.orders()[0].at_us, 3_000_000);
    assert_eq!(recorded.starts()[0].from_us, 3_000_200);
}

#[test]
fn a_decision_after_an_instance_moves_nothing() {
    let mut recorded = begun();
    recorded.add(starting(BEGAN_US + 100)).expect("in order");
    recorded.add(decision(BEGAN_US + 2_000_000, 1)).expect("in order");
    assert_eq!(recorded.began_unix_us, BEGAN_US);
    assert_eq!(recorded.starts()[0].from_us, 100);
}
