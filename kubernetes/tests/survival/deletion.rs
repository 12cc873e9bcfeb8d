//! A scaler that is deleted leaves no zero of ours behind, whenever that happens and whoever
//! decides.

use super::*;

/// Nothing of the scaler is left but its target, awake.
fn assert_gone(stage: &Stage) {
    assert!(!stage.has_scaler(), "it stays: {}", stage.written_mode());
    assert!(stage.replicas() > 0, "its target is left at zero");
}

/// A person's zero is respected, and so would be one after the deletion.
fn is_of_a_person(op: &Op) -> bool {
    matches!(op, Op::PersonScales(0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_leaves_no_zero_behind(
        before in prop::collection::vec(op(), 1..150),
        after in prop::collection::vec(op(), 1..100),
        begins_at_zero in any::<bool>(),
    ) {
        let mut stage = Stage::new();
        if begins_at_zero {
            calm(&mut stage, 0);
        }
        for op in before.iter().filter(|op| !is_of_a_person(op)) {
            happen(&mut stage, op);
        }
        stage.person_deletes_scaler();
        for op in after.iter().filter(|op| !is_of_a_person(op)) {
            happen(&mut stage, op);
        }
        stage.answer_all();
        stage.activator_comes(0);
        stage.rival_goes();
        // What has failed again and again is tried again after half a minute at most.
        calm_for(45, &mut stage, 1);
        // A slice that was on its way may come after its owner has gone: a cluster collects it.
        assert_gone(&stage);
    }
}

#[test]
fn one_at_zero_holds_its_requests_until_its_pods_are_ready() {
    let mut stage = Stage::new();
    calm(&mut stage, 0);
    assert_eq!(how(&stage), (0, "Zero".to_owned()));
    // Nobody decides when it is deleted.
    stage.person_deletes_scaler();
    assert!(stage.has_scaler());
    stage.take_over();
    for _ in 0..5 {
        stage.see_all();
        reconcile(&mut stage);
        while !stage.on_their_way.is_empty() {
            execute(&mut stage, 0);
        }
        stage.wait(1_000);
    }
    assert_eq!(stage.replicas(), 1);
    assert!(stage.has_scaler() && stage.our_slices().len() == 1, "no pod is ready yet");
    calm(&mut stage, 1);
    assert_gone(&stage);
    assert!(stage.our_slices().is_empty());
}

#[test]
fn one_that_has_pods_goes_at_once_and_its_revision_is_forgotten() {
    let mut stage = Stage::new();
    calm(&mut stage, 3);
    stage.person_deletes_scaler();
    assert!(!stage.has_scaler());
    stage.see_all();
    assert_eq!(stage.undeclared, [target_key().object]);
    calm(&mut stage, 0);
    assert_eq!(stage.replicas(), 3, "nobody scales it any more");
}

#[test]
fn one_whose_target_was_deleted_with_it_does_not_keep_its_namespace_waiting() {
    let mut stage = Stage::new();
    calm(&mut stage, 0);
    stage.person_deletes_scaler();
    stage.person_deletes_target();
    for _ in 0..5 {
        stage.see_all();
        reconcile(&mut stage);
        while !stage.on_their_way.is_empty() {
            execute(&mut stage, 0);
        }
        stage.wait(1_000);
    }
    assert!(!stage.has_scaler());
}

#[test]
fn finalizers_of_others_stay() {
    let mut stage = Stage::new();
    stage.add_finalizer("example.dev/other");
    calm(&mut stage, 0);
    assert_eq!(stage.finalizers(), ["example.dev/other", "tidegate.dev/wake-target"]);
    calm(&mut stage, 1);
    assert_eq!(stage.finalizers(), ["example.dev/other"]);
}

/// As [`calm`], with an HPA that looks every second for as long as there is one.
fn calm_beside_an_hpa(stage: &mut Stage, wanted: i32) {
    for _ in 0..30 {
        calm_for(1, stage, wanted);
        stage.let_the_hpa_look();
    }
}

#[test]
fn one_that_an_hpa_has_brought_to_zero_stays_until_the_hpa_has_woken_its_target() {
    let mut stage = Stage::new();
    stage.scale_by_an_hpa();
    calm_beside_an_hpa(&mut stage, 0);
    assert_eq!(how(&stage), (0, "Zero".to_owned()));
    assert_eq!(stage.finalizers(), ["tidegate.dev/wake-target"]);
    stage.person_deletes_scaler();
    calm(&mut stage, 0);
    assert_eq!(stage.replicas(), 0, "an HPA sets the replicas, and it has not looked yet");
    assert!(stage.has_scaler() && stage.our_slices().len() == 1, "requests are still held");
    calm_beside_an_hpa(&mut stage, 0);
    assert_gone(&stage);
    assert!(stage.our_slices().is_empty());
}

#[test]
fn one_whose_hpa_was_deleted_with_it_waits_for_nobody() {
    let mut stage = Stage::new();
    stage.scale_by_an_hpa();
    calm_beside_an_hpa(&mut stage, 0);
    stage.person_deletes_scaler();
    stage.rival_goes();
    calm(&mut stage, 0);
    assert!(!stage.has_scaler());
}

#[test]
fn one_that_an_hpa_wakes_and_brings_down_again_is_protected_each_time() {
    let mut stage = Stage::new();
    stage.scale_by_an_hpa();
    for _ in 0..2 {
        calm_beside_an_hpa(&mut stage, 2);
        assert_eq!((how(&stage), stage.finalizers()), ((2, "Warm".to_owned()), Vec::new()));
        calm_beside_an_hpa(&mut stage, 0);
        assert_eq!((stage.replicas(), stage.finalizers().len()), (0, 1));
    }
}
