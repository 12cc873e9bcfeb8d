//! The status follows what lasts, and not what is over in a moment.

use tidegate_kubernetes::plan::{MOMENT_MS, NUMBERS_MS, SILENT_MS};
use tidegate_kubernetes_objects::TrafficScalerStatus;

use super::*;

/// Has everything that is due be done. Returns the statuses that were written.
fn written(stage: &mut Stage) -> Vec<TrafficScalerStatus> {
    stage.see_all();
    let mut written = Vec::new();
    for _ in 0..5 {
        reconcile(stage);
        while let Some(sent) = stage.on_their_way.first() {
            let status = sent.action.request.body["status"].clone();
            if sent.action.step == Step::Status {
                written.push(serde_json::from_value(status).expect("a status"));
            }
            execute(stage, 0);
        }
    }
    written
}

/// The reason of a condition.
fn reason<'a>(status: &'a TrafficScalerStatus, type_: &str) -> &'a str {
    let mut conditions = status.conditions.iter();
    conditions.find(|one| one.type_ == type_).map_or("", |one| one.reason.as_str())
}

#[test]
fn a_new_scaler_whose_ports_are_on_their_way_is_not_said_to_be_in_need_of_somebody() {
    let mut stage = Stage::new();
    stage.desired(1, 1);
    let written = written(&mut stage);
    let reasons: Vec<&str> = written.iter().map(|one| reason(one, "ScaledToZero")).collect();
    assert_eq!(reasons, ["HasReplicas"], "one status is enough");
}

#[test]
fn an_activator_that_listens_nowhere_is_told_once_that_lasts() {
    let mut stage = Stage::new();
    stage.do_activators_listen = false;
    stage.desired(1, 1);
    let reasons = |all: &[TrafficScalerStatus]| -> Vec<String> {
        all.iter().map(|one| reason(one, "ScaledToZero").to_owned()).collect()
    };
    assert_eq!(reasons(&written(&mut stage)), ["HasReplicas"]);
    stage.wait(MOMENT_MS);
    stage.desired(1, 1);
    assert_eq!(reasons(&written(&mut stage)), ["NotPossible"]);
}

#[test]
fn what_is_wanted_and_soon_there_is_told_once() {
    let mut stage = Stage::new();
    calm(&mut stage, 1);
    stage.desired(3, 1);
    assert_eq!(written(&mut stage), []);
    stage.wait(NUMBERS_MS);
    stage.desired(3, 1);
    let all = written(&mut stage);
    let numbers: Vec<_> = all.iter().map(|one| (one.desired_replicas, one.replicas)).collect();
    assert_eq!(numbers, [(Some(3), Some(3))]);
}

#[test]
fn pods_that_report_a_moment_after_they_are_ready_change_no_condition() {
    let mut stage = Stage::new();
    calm(&mut stage, 1);
    let mut statuses = 0;
    for pods in 2..=10 {
        stage.desired(pods, pods - 1);
        written(&mut stage);
        stage.wait(NUMBERS_MS);
        written(&mut stage);
        stage.let_pods_be_ready(pods.into());
        // It is ready, and not heard of yet.
        let before = written(&mut stage);
        stage.wait(1_000);
        stage.desired(pods, pods);
        let after = written(&mut stage);
        for status in before.iter().chain(&after) {
            assert_eq!(reason(status, "SidecarInjected"), "AllReport");
        }
        statuses += before.len() + after.len();
    }
    assert_eq!(statuses, 0, "the status says nothing of pods that are ready");
}

#[test]
fn a_pod_that_stays_silent_is_told_first_to_readers_and_then_to_everybody() {
    let mut stage = Stage::new();
    calm(&mut stage, 1);
    let mut reasons = Vec::new();
    for _ in 0..=SILENT_MS / 1_000 {
        stage.desired(1, 0);
        let all = written(&mut stage);
        reasons.extend(all.iter().map(|one| reason(one, "SidecarInjected").to_owned()));
        stage.wait(1_000);
    }
    assert_eq!(reasons, ["SomeSilent", "NotHeardOf"]);
}

/// A status that says so is written, and the watch brings it before or after its response.
#[test]
fn a_pod_that_stays_silent_is_told_as_an_event_once_whichever_comes_first() {
    for watch_is_first in [true, false] {
        let mut stage = Stage::new();
        calm(&mut stage, 1);
        for _ in 0..=2 * SILENT_MS / 1_000 {
            stage.desired(1, 0);
            reconcile(&mut stage);
            while !stage.on_their_way.is_empty() {
                stage.execute_late(0);
                if watch_is_first {
                    while !stage.news.is_empty() {
                        stage.deliver(0);
                    }
                }
                stage.answer_all();
            }
            stage.see_all();
            stage.wait(1_000);
        }
        let told = stage.told.iter().filter(|reason| reason.contains("NotHeardOf")).count();
        assert_eq!(told, 1, "the watch is first: {watch_is_first}");
    }
}
