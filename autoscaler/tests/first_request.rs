//! The first request after a short rest gets an instance at once.
//!
//! The story: with every improvement on, what instances are asked for while others start is bounded
//! by what arrives, told by the seconds of the panic window. A revision that had started instances
//! within the last stable window, was back at zero and had been quiet for a panic window, knew of
//! no arrivals. Its next request was recorded as load at once, but not as an arrival until its
//! second was over, so the bound was zero and the request waited for the second to end.

use tidegate_autoscaler::{
    Improvements, Observed, Origin, RevisionAutoscaler, RevisionSettings, Sample, Timestamp,
};

fn second(second: u64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000).plus_millis(second * 1_000)
}

#[test]
fn what_waits_is_worth_an_instance_although_no_second_has_counted_it() {
    let improvements = Improvements::all();
    let settings = RevisionSettings { improvements, ..RevisionSettings::default() };
    let mut autoscaler = RevisionAutoscaler::new(settings, second(0), 1).expect("default windows");
    let busy = Sample::new(2.0, 0.0, 10.0, 0.0).expect("a finite load");
    let one = Observed { requested: 1, in_flight: 2, ..Observed::ready(1) };
    for at in 0..10 {
        autoscaler.record(second(at), Origin::Instances, &busy);
        // Without a queue the service time is learned.
        let _ = autoscaler.tick(second(at), Some(one), &[]);
    }
    let starting = Observed { ready: 0, starting: 1, requested: 1, ..Observed::default() };
    let _ = autoscaler.tick(second(10), Some(starting), &[]);
    for at in 10..40 {
        autoscaler.record(second(at), Origin::Instances, &Sample::IDLE);
        let _ = autoscaler.tick(second(at), Some(Observed::ready(0)), &[]);
    }

    let held = Sample::of_concurrency(1.0).expect("a finite load");
    autoscaler.record(second(40), Origin::Activator, &held);
    let waits = Observed { in_flight: 0, waiting: 1, ..Observed::ready(0) };
    let decision = autoscaler.tick(second(40).plus_millis(300), Some(waits), &[]);
    assert_eq!(decision.desired, 1, "{}", decision.explanation);
}
