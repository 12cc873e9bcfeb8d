//! A zero of ours that is seen before its response comes, or whose response never comes.
//!
//! On a real cluster the watch of the workload often reports a change before the request that made
//! it gets its response. The last number that this controller knew to have set was then more than
//! zero, so the zero was taken for a person's: an Event said that the workload is suspended, and
//! had the response been lost, nothing would ever have woken it again.

use super::*;

/// Advances to the moment at which a controller that has scaled the target before is about to set
/// it to zero.
fn about_to_be_zero() -> Stage {
    let mut stage = Stage::new();
    calm(&mut stage, 3);
    for _ in 0..60 {
        let replicas = stage.replicas();
        stage.let_pods_be_ready(replicas);
        stage.see_all();
        stage.desired(0, i32::try_from(replicas).expect("a few"));
        let steps = stage.reconcile();
        if steps.iter().any(|step| matches!(step, Step::Scale { to: 0, .. })) {
            return stage;
        }
        while !stage.on_their_way.is_empty() {
            execute(&mut stage, 0);
        }
        stage.wait(1_000);
    }
    panic!("it is never set to zero: {:?}", how(&stage));
}

/// No written mode says that the target was suspended.
fn reconcile_and_record(stage: &mut Stage) {
    reconcile(stage);
    while !stage.on_their_way.is_empty() {
        execute(stage, 0);
        assert_ne!(stage.written_mode(), "Suspended");
    }
}

#[test]
fn a_zero_that_is_seen_before_its_response_is_ours() {
    let mut stage = about_to_be_zero();
    stage.execute_late(0);
    assert_eq!(stage.replicas(), 0);
    stage.see_all();
    reconcile_and_record(&mut stage);
    stage.answer_all();
    reconcile_and_record(&mut stage);
    assert_eq!(how(&stage), (0, "Zero".to_owned()));
    calm(&mut stage, 2);
    assert_eq!(how(&stage), (2, "Warm".to_owned()));
}

#[test]
fn a_zero_whose_response_is_lost_is_woken() {
    let mut stage = about_to_be_zero();
    stage.cluster.fail(http::Method::PATCH, "/scale", Fault::LostResponse, 1);
    while !stage.on_their_way.is_empty() {
        execute(&mut stage, 0);
    }
    assert_eq!(stage.replicas(), 0);
    calm(&mut stage, 0);
    assert_eq!(how(&stage), (0, "Zero".to_owned()));
    calm(&mut stage, 2);
    assert_eq!(how(&stage), (2, "Warm".to_owned()));
}

#[test]
fn a_zero_that_a_person_set_after_ours_is_respected() {
    let mut stage = about_to_be_zero();
    stage.execute_late(0);
    stage.answer_all();
    calm(&mut stage, 2);
    stage.person_scales(0);
    calm_at_zero(&mut stage, 2);
    assert_eq!(how(&stage), (0, "Suspended".to_owned()));
}

/// Time passes while the target stays at zero.
fn calm_at_zero(stage: &mut Stage, wanted: i32) {
    for _ in 0..10 {
        stage.see_all();
        stage.desired(wanted, 0);
        reconcile(stage);
        while !stage.on_their_way.is_empty() {
            execute(stage, 0);
        }
        stage.wait(1_000);
    }
}
