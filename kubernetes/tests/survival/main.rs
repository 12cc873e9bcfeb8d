//! Events and responses arrive late, twice, in the wrong order or not at all: no target is set to
//! zero while a request to its Service could get no response, none is scaled that another scaler
//! owns, no slice has an endpoint without an activator, a person's zero stays, and in the end the
//! cluster is as desired.

mod anew;
mod deletion;
mod incremental;
mod late_responses;
mod many;
mod quiet;
mod stage;

use proptest::prelude::*;
use tidegate_kubernetes::plan::Step;
use tidegate_kubernetes::request::Method;
use tidegate_kubernetes_fake::Fault;

use stage::{ALL, OnItsWay, Stage, scaler_key, target_key};

/// An event that may occur.
#[derive(Debug, Clone)]
enum Op {
    Wait(u64),
    Reconcile,
    Desired { replicas: i32, silent: i32 },
    Deliver(usize),
    DeliverAndKeep(usize),
    Lose(usize),
    Relist(usize),
    Execute(usize),
    ExecuteLate(usize),
    AnswerAll,
    Ready(i64),
    PersonScales(i64),
    PersonDeletesSlices,
    ActivatorComes(usize),
    ActivatorGoes(usize),
    RivalComes,
    RivalGoes,
    Fail(Fault),
    TakeOver,
}

fn op() -> impl Strategy<Value = Op> {
    let number = 0..1_000usize;
    let fault = prop_oneof![
        Just(Fault::Internal),
        Just(Fault::LostResponse),
        Just(Fault::TooMany { retry_after_seconds: 1 }),
    ];
    prop_oneof![
        6 => (0..4_000u64).prop_map(Op::Wait),
        12 => Just(Op::Reconcile),
        5 => (0..4i32, 0..8i32).prop_map(|(replicas, silent)| Op::Desired { replicas, silent }),
        8 => Just(Op::Desired { replicas: 0, silent: 0 }),
        8 => number.clone().prop_map(Op::Deliver),
        4 => number.clone().prop_map(Op::DeliverAndKeep),
        2 => number.clone().prop_map(Op::Lose),
        2 => number.clone().prop_map(Op::Relist),
        14 => number.clone().prop_map(Op::Execute),
        4 => number.clone().prop_map(Op::ExecuteLate),
        2 => Just(Op::AnswerAll),
        3 => (0..4i64).prop_map(Op::Ready),
        1 => (0..3i64).prop_map(Op::PersonScales),
        1 => Just(Op::PersonDeletesSlices),
        1 => number.clone().prop_map(Op::ActivatorComes),
        1 => number.prop_map(Op::ActivatorGoes),
        1 => prop_oneof![Just(Op::RivalComes), Just(Op::RivalGoes)],
        1 => fault.prop_map(Op::Fail),
        1 => Just(Op::TakeOver),
    ]
}

/// Whether another scaler's claim is known.
fn knows_a_rival(stage: &Stage) -> bool {
    stage.reconciler.world.rivals.iter().next().is_some()
}

fn reconcile(stage: &mut Stage) {
    let is_somebody_elses_zero = is_seen_as_it_is(stage)
        && stage.replicas() == 0
        && ["Warm", "Suspended", ""].contains(&stage.written_mode().as_str())
        && stage.reconciler.world.memory.get(&scaler_key()).is_none_or(|m| m.scaled.is_none());
    let rival = knows_a_rival(stage);
    for step in stage.reconcile() {
        if let Step::Scale { from, to, .. } = step {
            assert!(!is_somebody_elses_zero, "a zero of somebody else was changed to {to}");
            // What confirms that a late zero will not come changes nothing.
            let is_harmless = from == to || (from == 0 && to == 1);
            assert!(!rival || is_harmless, "from {from} to {to} beside another owner");
        }
    }
    for sent in &stage.on_their_way {
        if let Step::ApplySlice(_) = sent.action.step {
            let endpoints = sent.action.request.body["endpoints"].as_array();
            assert!(endpoints.is_some_and(|all| !all.is_empty()), "a slice without an activator");
        }
    }
}

/// Whether the reconciler has seen the target's newest version.
fn is_seen_as_it_is(stage: &Stage) -> bool {
    let version = &stage.target()["metadata"]["resourceVersion"];
    stage.reconciler.world.targets.get(&target_key()).is_some_and(|t| *version == *t.version.0)
}

/// A request has been executed.
fn judge(stage: &Stage, before: &Before, (status, sent): &(u16, OnItsWay)) {
    let Step::Scale { to: 0, .. } = sent.action.step else { return };
    assert_eq!(sent.desired, Some(0), "set to zero although that was not wanted");
    assert_eq!(sent.action.request.method, Method::Patch);
    assert!(
        sent.action.request.body["metadata"]["resourceVersion"].is_string(),
        "set to zero without looking at what it was"
    );
    if *status != 200 {
        return;
    }
    assert_eq!(before.mode, "Draining", "set to zero before it was written down");
    if stage.meddled_with_slices {
        return;
    }
    assert_eq!(before.slices.len(), 1, "set to zero while nothing leads to the activators");
    for slice in &before.slices {
        let ports = slice["ports"].as_array().map_or(0, Vec::len);
        assert_eq!(ports, 2, "not every port is led to the activators: {slice}");
        assert!(slice["endpoints"].as_array().is_some_and(|all| !all.is_empty()), "{slice}");
    }
}

/// The state before a request was executed.
struct Before {
    mode: String,
    slices: Vec<serde_json::Value>,
}

fn execute(stage: &mut Stage, number: usize) {
    let before = Before { mode: stage.written_mode(), slices: stage.our_slices() };
    if let Some(executed) = stage.execute(number) {
        judge(stage, &before, &executed);
    }
}

/// As [`execute`]; the response comes later.
fn execute_late(stage: &mut Stage, number: usize) {
    let before = Before { mode: stage.written_mode(), slices: stage.our_slices() };
    if let Some(executed) = stage.execute_late(number) {
        judge(stage, &before, &executed);
    }
}

fn happen(stage: &mut Stage, op: &Op) {
    match *op {
        Op::Wait(ms) => stage.wait(ms),
        Op::Reconcile => reconcile(stage),
        Op::Desired { replicas, silent } => {
            let ready = stage.target()["status"]["readyReplicas"].as_i64().unwrap_or(0);
            let ready = i32::try_from(ready).unwrap_or(0);
            stage.desired(replicas, (ready - silent).max(0));
        }
        Op::Deliver(number) => stage.deliver(number),
        Op::DeliverAndKeep(number) => stage.deliver_and_keep(number),
        Op::Lose(number) => stage.lose(number),
        Op::Relist(number) => stage.relist(ALL[number % ALL.len()]),
        Op::Execute(number) => execute(stage, number),
        Op::ExecuteLate(number) => execute_late(stage, number),
        Op::AnswerAll => stage.answer_all(),
        Op::Ready(ready) => stage.let_pods_be_ready(ready),
        Op::PersonScales(replicas) => stage.person_scales(replicas),
        Op::PersonDeletesSlices => stage.person_deletes_slices(),
        Op::ActivatorComes(which) => stage.activator_comes(which),
        Op::ActivatorGoes(which) => stage.activator_goes(which),
        Op::RivalComes => stage.rival_comes(),
        Op::RivalGoes => stage.rival_goes(),
        Op::Fail(fault) => stage.fail_next(fault),
        Op::TakeOver => stage.take_over(),
    }
}

/// Runs without faults for a while, with so many replicas desired.
fn calm(stage: &mut Stage, wanted: i32) {
    calm_for(25, stage, wanted);
}

fn calm_for(seconds: usize, stage: &mut Stage, wanted: i32) {
    for _ in 0..seconds {
        let replicas = stage.replicas();
        stage.let_pods_be_ready(replicas);
        stage.see_all();
        stage.desired(wanted, i32::try_from(replicas).expect("a few"));
        reconcile(stage);
        while !stage.on_their_way.is_empty() {
            execute(stage, 0);
        }
        stage.wait(1_000);
    }
}

/// The replicas, and the mode in the status.
fn how(stage: &Stage) -> (i64, String) {
    (stage.replicas(), stage.written_mode())
}

/// Faults that are still to come do not.
fn settle(stage: &mut Stage) {
    stage.answer_all();
    stage.activator_comes(0);
    stage.activator_comes(1);
    stage.rival_goes();
    if stage.replicas() == 0 {
        stage.person_scales(1);
    }
    // An action that failed repeatedly is retried after half a minute at most.
    calm_for(45, stage, 1);
    stage.meddled_with_slices = false;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn under_any_faults_requests_get_a_response(ops in prop::collection::vec(op(), 1..250)) {
        let mut stage = Stage::new();
        for op in &ops {
            happen(&mut stage, op);
        }
        settle(&mut stage);
        calm(&mut stage, 3);
        prop_assert_eq!(how(&stage), (3, "Warm".to_owned()));
        prop_assert!(stage.our_slices().is_empty());
        calm(&mut stage, 0);
        prop_assert_eq!(how(&stage), (0, "Zero".to_owned()));
        prop_assert_eq!(stage.our_slices().len(), 1);
        calm(&mut stage, 2);
        prop_assert_eq!(how(&stage), (2, "Warm".to_owned()));
    }
}

#[test]
fn an_idle_target_scales_to_zero_and_back_in_the_safe_order() {
    let mut stage = Stage::new();
    let mut order = Vec::new();
    for wanted in [1, 0, 2] {
        for _ in 0..30 {
            let replicas = stage.replicas();
            stage.let_pods_be_ready(replicas);
            stage.see_all();
            stage.desired(wanted, i32::try_from(replicas).expect("a few"));
            order.extend(stage.reconcile().into_iter().filter(|step| *step != Step::Status));
            while !stage.on_their_way.is_empty() {
                execute(&mut stage, 0);
            }
            stage.wait(1_000);
        }
    }
    let told: Vec<String> = order
        .iter()
        .map(|step| match step {
            Step::Scale { from, to, .. } => format!("scale from {from} to {to}"),
            Step::ApplySlice(key) => format!("apply {}", key.name),
            Step::DeleteSlice(key) => format!("delete {}", key.name),
            Step::Mark { pod, .. } => format!("mark {}", pod.name),
            Step::Weights { permille } => format!("{permille} thousandths"),
            Step::Protect => "protect".to_owned(),
            Step::Release => "release".to_owned(),
            Step::Status | Step::RolloutStatus => String::new(),
        })
        .collect();
    let expected = [
        "apply till-tidegate-ipv4",
        "protect",
        "scale from 1 to 0",
        "scale from 0 to 2",
        "delete till-tidegate-ipv4",
        "release",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_zero_that_a_person_set_is_respected() {
    let mut stage = Stage::new();
    calm(&mut stage, 1);
    stage.person_scales(0);
    for _ in 0..30 {
        stage.see_all();
        stage.desired(5, 0);
        reconcile(&mut stage);
        while !stage.on_their_way.is_empty() {
            execute(&mut stage, 0);
        }
        stage.wait(1_000);
    }
    assert_eq!(how(&stage), (0, "Suspended".to_owned()));
    stage.person_scales(1);
    calm(&mut stage, 5);
    assert_eq!(how(&stage), (5, "Warm".to_owned()));
}

#[test]
fn without_activators_the_last_replica_stays() {
    let mut stage = Stage::new();
    stage.activator_goes(0);
    stage.activator_goes(1);
    calm(&mut stage, 0);
    assert_eq!(how(&stage), (1, "Warm".to_owned()));
}

#[test]
fn a_target_at_zero_gets_one_replica_when_another_autoscaler_claims_it() {
    let mut stage = Stage::new();
    calm(&mut stage, 0);
    assert_eq!(stage.replicas(), 0);
    stage.rival_comes();
    calm(&mut stage, 0);
    assert_eq!((stage.replicas(), stage.our_slices().len()), (1, 0));
    stage.person_scales(7);
    calm(&mut stage, 2);
    assert_eq!(stage.replicas(), 7);
}
