//! What the simulated world does, in the terms of a user of the library.

use std::num::NonZeroUsize;

use tidegate_autoscaler::{Decision, FixedPolicy, Observed, Policy, TickInput};
use tidegate_sim::arrival::ArrivalList;
use tidegate_sim::recommend::{Objective, Search, recommend};
use tidegate_sim::scenario::{
    Clients, CustomPolicy, Failure, FailureKind, NodeModel, Path, Reporting, Retry, Sampling,
    StartUp,
};
use tidegate_sim::seeds::Effort;
use tidegate_sim::sweep::{Dimension, Plan, sweep};
use tidegate_sim::{
    Arrival, ArrivalSource, Distribution, PolicyChoice, Recording, RevisionIndex, RevisionModel,
    RevisionNames, RunError, RunOutput, Scenario, SimSpan, SimTime, SourceError, Traffic, run,
};
use tidegate_sim_traffic::Generated;

fn law(text: &str) -> Distribution {
    Distribution::parse(text, &|_| unreachable!()).expect(text)
}

fn traffic(spec: &str, secs: u64) -> Generated {
    Generated::new(spec, 0, SimSpan::from_secs(secs), 1).expect("parses")
}

fn knative(settings: &[(&str, &str)]) -> RevisionModel {
    RevisionModel {
        settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        service: law("const:500ms"),
        concurrency: 10,
        start_up: StartUp::total(law("const:2s")),
        ..RevisionModel::default()
    }
}

fn simulate(scenario: &Scenario, spec: &str, secs: u64) -> RunOutput {
    run(scenario, &traffic(spec, secs), &mut ()).expect("runs")
}

fn scenario(revision: RevisionModel) -> Scenario {
    Scenario { seed: 1, revision, recording: Recording::REPORT, ..Scenario::default() }
}

#[test]
fn the_first_request_starts_an_instance_and_waits_for_it() {
    let output = simulate(&scenario(knative(&[])), "times:10s", 20);
    let result = &output.result;
    assert_eq!((result.requests, result.completed, result.cold_starts), (1, 1, 1));
    // Two seconds of start-up and half a second of service; the wake-up itself takes no time.
    assert_eq!(result.latency_ms.max, 2_500.0);
    assert_eq!(output.cold_starts_s, [10.0]);
    let first = output.decisions.first().expect("a decision");
    assert_eq!((first.at_s, first.trigger.as_str(), first.wanted), (10.0, "wake-up", 1));
    assert!(!first.reason.is_empty());
}

#[test]
fn an_idle_revision_goes_to_zero_after_its_window_and_grace() {
    let idle = Scenario { duration: Some(SimSpan::from_secs(300)), ..scenario(knative(&[])) };
    let output = simulate(&idle, "times:10s", 20);
    let gone = output.decisions.last().expect("a decision");
    assert_eq!(gone.wanted, 0);
    // The last load is at 12.5 s; the window is 60 s, and the activator was in the path all along.
    assert!((72.0..=82.0).contains(&gone.at_s), "{gone:?}");
    let min_one = Scenario { revision: knative(&[("min-scale", "1")]), ..idle };
    assert_eq!(simulate(&min_one, "times:10s", 20).result.instances.mean, 1.0);
}

#[test]
fn a_burst_panics_and_a_higher_target_needs_fewer() {
    let low = simulate(&scenario(knative(&[("target", "2")])), "step:2,80,60s", 200).result;
    let high = simulate(&scenario(knative(&[("target", "8")])), "step:2,80,60s", 200).result;
    assert!(low.extra.panic_seconds > 0.0);
    assert!(low.instances.max >= 29, "{}", low.instances.max);
    assert!(high.instances.max < low.instances.max);
}

#[test]
fn nodes_run_full_and_new_ones_take_their_time() {
    let nodes = NodeModel {
        capacity: 2,
        min: 1,
        max: 5,
        provisioning: law("const:30s"),
        idle: SimSpan::from_secs(60),
        ..NodeModel::default()
    };
    let revision = knative(&[("target", "1"), ("target-utilization-percentage", "100")]);
    let with = Scenario { nodes: vec![nodes], ..scenario(revision.clone()) };
    let spec = "constant:12";
    let free = simulate(&scenario(revision), spec, 100);
    let tight = simulate(&with, spec, 100);
    let ready_at = |output: &RunOutput, second: usize| output.series[0].points[second].ready_max;
    assert!(ready_at(&free, 20) >= 6, "{}", ready_at(&free, 20));
    assert_eq!(ready_at(&tight, 20), 2, "one node holds two");
    assert!(ready_at(&tight, 60) >= 6, "{}", ready_at(&tight, 60));
}

#[test]
fn a_dead_instance_loses_what_it_held_and_is_replaced() {
    let failure = |kind| Failure::once(SimTime::from_millis(30_250), kind);
    let revision = RevisionModel {
        policy: PolicyChoice::Fixed(2),
        concurrency: 1,
        path: Path::Central,
        ..knative(&[])
    };
    let kind = FailureKind::Instances { revision: None, count: 1 };
    let broken = Scenario { failures: vec![failure(kind)], ..scenario(revision) };
    let output = simulate(&broken, "constant:3.9", 60);
    let result = &output.result;
    assert_eq!(result.failed, 1);
    assert_eq!(result.completed + 1, result.requests);
    assert_eq!(result.extra.instances_started, 3);
    assert_eq!(output.series[0].points[35].ready_max, 2);
}

#[test]
fn a_controller_that_is_gone_decides_nothing() {
    let gone = FailureKind::Controller { down: SimSpan::from_secs(60) };
    let failures = vec![Failure::once(SimTime::from_secs(20), gone)];
    let broken = Scenario { failures, ..scenario(knative(&[("target", "2")])) };
    let output = simulate(&broken, "step:2,40,30s", 150);
    assert!(output.decisions.iter().all(|d| d.at_s < 20.0 || d.at_s >= 80.0));
    assert!(output.series[0].points[75].ready_max <= 2);
    assert!(output.series[0].points[100].ready_max > 5);
}

#[test]
fn clients_in_a_closed_loop_never_ask_twice_at_once() {
    let revision = RevisionModel { policy: PolicyChoice::Fixed(1), ..knative(&[]) };
    let clients = Clients { count: 7, think: law("exp:1s"), revision: "traffic".to_owned() };
    let duration = Some(SimSpan::from_secs(2_000));
    let closed = Scenario { clients: Some(clients), duration, ..scenario(revision) };
    let result = simulate(&closed, "times:0s", 1).result;
    // Seven clients, each asking once in 1.5 s on average.
    let rate = result.requests as f64 / 2_000.0;
    assert!((rate / (7.0 / 1.5) - 1.0).abs() < 0.03, "{rate}");
    assert!(result.extra.concurrency_mean < 7.0);
}

#[test]
fn clients_try_again_and_timeouts_free_the_instance() {
    let revision = RevisionModel {
        policy: PolicyChoice::Fixed(1),
        concurrency: 1,
        timeout: Some(SimSpan::from_millis(300)),
        retry: Retry { tries: 2, backoff: law("const:10s") },
        path: Path::Central,
        ..knative(&[])
    };
    let result = simulate(&scenario(revision), "times:1s", 2).result;
    assert_eq!((result.requests, result.timed_out, result.extra.retries), (3, 3, 2));
    assert_eq!(result.simulated_seconds, 31.9);
}

#[test]
fn lost_reports_count_as_silence_in_knative_and_are_filled_in_by_tidegate() {
    let mut revision = knative(&[("target", "2")]);
    revision.reporting =
        Reporting { lag: SimSpan::from_secs(2), loss: 0.2, sampling: Sampling::All };
    let ready = |revision: &RevisionModel| {
        simulate(&scenario(revision.clone()), "constant:40", 300).series[0].points[250].ready_mean
    };
    // 20 requests in flight at 1.4 each need 15 instances; a fifth of the seconds looks idle.
    let few = ready(&revision);
    assert!((11.0..=13.0).contains(&few), "{few}");
    revision.policy = PolicyChoice::Tidegate;
    let enough = ready(&revision);
    assert!((14.0..=17.0).contains(&enough), "{enough}");
}

#[test]
fn a_sample_of_the_instances_stands_for_all_and_counts_none_twice() {
    // Without a target for bursts requests go straight to the instances, each of which is scraped.
    let mut revision =
        knative(&[("metric", "rps"), ("target", "4"), ("target-burst-capacity", "0")]);
    revision.reporting.sampling = Sampling::Knative;
    let output = simulate(&scenario(revision), "constant:40", 300);
    // 40 requests a second at 2.8 each need 15 instances, of which ten are asked.
    let ready = output.series[0].points[280].ready_mean;
    assert!((14.0..=17.0).contains(&ready), "{ready}");
}

/// One instance for each ten requests that wait or are served, as a policy of one's own.
struct TenEach;

struct TenEachPolicy;

impl CustomPolicy for TenEach {
    fn name(&self) -> String {
        "ten-each".to_owned()
    }

    fn policy(&self, _model: &RevisionModel) -> Box<dyn Policy + Send> {
        Box::new(TenEachPolicy)
    }
}

impl Policy for TenEachPolicy {
    fn tick(&mut self, input: &TickInput<'_>) -> Decision {
        let Observed { in_flight, waiting, .. } = input.observed.unwrap_or_default();
        let desired = (in_flight + waiting).div_ceil(10);
        FixedPolicy::new(desired).tick(input)
    }
}

#[test]
fn a_policy_of_ones_own_plugs_in() {
    let policy = PolicyChoice::Custom(std::sync::Arc::new(TenEach));
    let revision = RevisionModel { policy, ..knative(&[]) };
    let output = simulate(&scenario(revision), "constant:100", 120);
    assert_eq!(output.series[0].points[100].wanted_max, 5);
    assert_eq!(output.result.settings["policy"], "ten-each");
}

#[test]
fn a_sweep_finds_the_front_and_names_what_contradicts_itself() {
    let base = scenario(knative(&[("max-scale", "5")]));
    let dimensions = [
        Dimension::parse("target=2,4,8").expect("parses"),
        Dimension::parse("min-scale=0,1,9").expect("parses"),
    ];
    let mut progress_calls = 0;
    let threads = NonZeroUsize::new(2).expect("is not zero");
    let traffic = traffic("onoff:20,30s,120s", 600);
    let output = sweep(&base, &traffic, &dimensions, Plan::Grid, Effort::once(threads), |_, _| {
        progress_calls += 1;
    })
    .expect("runs");
    assert_eq!((output.points.len(), output.refused.len(), progress_calls), (6, 3, 9));
    assert!(output.refused[0].reason.contains("min-scale"), "{}", output.refused[0].reason);
    let cheapest = output
        .points
        .iter()
        .min_by(|a, b| a.instance_seconds.total_cmp(&b.instance_seconds))
        .expect("has points");
    assert!(cheapest.on_front);
}

#[test]
fn a_recommendation_keeps_its_objectives_and_shows_what_it_tried() {
    let search = Search {
        objectives: vec![Objective::parse("p99<1s").expect("parses")],
        dimensions: vec![
            Dimension::parse("min-scale=0,1,2,3").expect("parses"),
            Dimension::parse("target-utilization-percentage=50,70,90").expect("parses"),
        ],
        budget: 12,
        effort: Effort {
            seeds: NonZeroUsize::new(5).expect("is not zero"),
            threads: NonZeroUsize::new(2).expect("is not zero"),
        },
    };
    let traffic = traffic("timer:300s", 3_600);
    let found = recommend(&scenario(knative(&[])), &traffic, &search, |_, _| {}).expect("runs");
    assert!(!found.baseline.keeps_all, "every call is cold at the defaults");
    let best = found.best.expect("one instance is enough");
    assert_eq!(best.point.settings["min-scale"], "1");
    assert!(best.worst[0] <= 1_000.0);
}

/// Arrivals that go back in time.
struct Backwards;

impl Traffic for Backwards {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let at = |secs| Arrival {
            at: SimTime::from_secs(secs),
            service: None,
            revision: RevisionIndex(0),
        };
        Ok(Box::new(ArrivalList::new(vec![at(2), at(1)], RevisionNames::one("app"))))
    }

    fn sha256(&self) -> String {
        String::new()
    }

    fn describe(&self) -> String {
        "backwards".to_owned()
    }
}

#[test]
fn traffic_that_goes_back_in_time_is_refused_with_its_place() {
    let error = run(&scenario(knative(&[])), &Backwards, &mut ()).expect_err("refuses").to_string();
    assert!(error.contains("arrival 2 at 1 s comes before the one at 2 s"), "{error}");
}

#[test]
fn what_cannot_be_run_is_refused_with_its_reason() {
    let refused = |revision: RevisionModel| {
        run(&scenario(revision), &traffic("poisson:1", 10), &mut ())
            .expect_err("refuses")
            .to_string()
    };
    let error = refused(knative(&[("stable-window", "1s")]));
    assert!(error.contains("stable-window") && error.contains("traffic"), "{error}");
    let error = refused(RevisionModel {
        reporting: Reporting { loss: 2.0, ..Reporting::default() },
        ..knative(&[])
    });
    assert!(error.contains("expected 0 to 1"), "{error}");
    let clients = Clients { count: 1, think: law("exp:1s"), revision: "unknown".to_owned() };
    let duration = Some(SimSpan::from_secs(10));
    let closed = Scenario { clients: Some(clients), duration, ..scenario(knative(&[])) };
    let error = run(&closed, &traffic("poisson:1", 10), &mut ()).expect_err("refuses");
    assert!(matches!(error, RunError::Model(_)), "{error}");
}
