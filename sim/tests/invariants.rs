//! What must hold for every scenario: requests are neither lost nor made up, Little's law is exact,
//! and the same seed gives the same bytes.

use std::num::NonZeroUsize;

use proptest::prelude::*;
use tidegate_sim::compare::{Variant, compare};
use tidegate_sim::recommend::Objective;
use tidegate_sim::scenario::{
    Balance, Clients, Contention, Failure, FailureKind, Keep, NodeModel, Path, Platform, Reporting,
    Retry, Sampling, StartModel, StartUp, StartsInTurns, Victim,
};
use tidegate_sim::seeds::Effort;
use tidegate_sim::sweep::Dimension;
use tidegate_sim::{
    Distribution, Observer, Outcome, PolicyChoice, Recording, RequestRecord, RevisionModel,
    RunOutput, Scenario, SimSpan, SimTime, run,
};
use tidegate_sim_traffic::Generated;

fn law(text: &str) -> Distribution {
    Distribution::parse(text, &|_| unreachable!()).expect(text)
}

fn policies() -> impl Strategy<Value = PolicyChoice> {
    prop_oneof![
        Just(PolicyChoice::Knative),
        Just(PolicyChoice::Tidegate),
        (0_u32..5).prop_map(PolicyChoice::Fixed),
        (1_u64..60).prop_map(|secs| PolicyChoice::KeepAlive(SimSpan::from_secs(secs))),
    ]
}

fn contentions() -> impl Strategy<Value = Contention> {
    prop_oneof![
        3 => Just(Contention::None),
        1 => Just(Contention::ProcessorSharing { cores: 1.5 }),
        1 => Just(Contention::Linear { alpha: 0.1 }),
        1 => Just(Contention::Curve { factors: vec![1.0, 1.3, 2.0].into() }),
    ]
}

prop_compose! {
    fn models()(
        policy in policies(),
        concurrency in 0_u32..4,
        contention in contentions(),
        path in prop::sample::select(vec![Path::Auto, Path::Central, Path::Direct]),
        balance in prop::sample::select(vec![
            Balance::LeastLoaded,
            Balance::FirstAvailable,
            Balance::RoundRobin,
            Balance::RandomOfTwo,
        ]),
        victim in prop::sample::select(vec![
            Victim::Newest, Victim::Oldest, Victim::Idlest, Victim::Random,
        ]),
        service in prop::sample::select(vec!["exp:300ms", "const:2s", "lognormal:100ms,1s"]),
        start in prop::sample::select(vec!["const:0s", "exp:2s", "const:10s"]),
        front_door_capacity in prop::sample::select(vec![0_u32, 3, 10_000]),
        queue_depth in prop::option::of(0_u32..5),
        timeout in prop::option::of(1_u64..20),
        tries in 0_u32..3,
        (lag, loss, sampling) in (0_u64..4, 0.0..0.5, prop::bool::ANY),
        drain in prop::sample::select(vec![0_u64, 1, 300]),
        (min_scale, local_idle) in (0_u32..3, prop::option::of(0_u64..40)),
        (initial, initial_starting) in (prop::option::of(0_u32..4), 0_u32..4),
        in_order in prop::bool::ANY,
    ) -> RevisionModel {
        RevisionModel {
            policy,
            settings: [
                ("min-scale".to_owned(), min_scale.to_string()),
                ("stable-window".to_owned(), "20s".to_owned()),
                ("target-burst-capacity".to_owned(), "2".to_owned()),
            ].into(),
            concurrency,
            service: law(service),
            contention,
            start_up: StartUp {
                schedule: law("const:100ms"),
                pull: law("const:1s"),
                start: law(start),
                in_order: in_order.then(|| [Some(SimSpan::from_secs(2)), None].into()),
                probe_period: SimSpan::from_millis(500),
            },
            path,
            balance,
            front_door_balance: balance,
            front_door_capacity,
            queue_depth,
            timeout: timeout.map(SimSpan::from_secs),
            retry: Retry { tries, backoff: law("exp:500ms") },
            drain: SimSpan::from_secs(drain),
            victim,
            initial,
            initial_starting,
            gpus: 0,
            memory_mb: Some(128.0),
            reporting: Reporting {
                lag: SimSpan::from_secs(lag),
                loss,
                sampling: if sampling { Sampling::Knative } else { Sampling::All },
            },
            platform: local_idle.map_or(Platform::Cluster, |idle| Platform::Local {
                idle: SimSpan::from_secs(idle),
                into_second: SimSpan::from_millis(idle * 250 % 1_000),
            }),
        }
    }
}

fn turns() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["all", "all", "1", "2,0.7", "5"])
}

fn nodes() -> NodeModel {
    NodeModel {
        capacity: 2,
        min: 1,
        max: 4,
        provisioning: law("const:15s"),
        idle: SimSpan::from_secs(20),
        ..NodeModel::default()
    }
}

prop_compose! {
    fn scenarios()(
        seed in 0_u64..1_000,
        revision in models(),
        duration in prop::option::of(60_u64..200),
        warm_up in prop::sample::select(vec![0_u64, 0, 15]),
        with_nodes in prop::bool::ANY,
        failing in prop::collection::vec((5_u64..100, 0_u8..5), 0..4),
        clients in prop::bool::weighted(0.2),
        (start_contention, starts_per_second, starts_at_once) in
            (contentions(), prop::option::of(1_u32..10), turns()),
    ) -> Scenario {
        // What cannot happen is refused: the loss of a node without nodes, anything after the end.
        let possible = failing.into_iter().filter(|(at, _)| duration.is_none_or(|end| *at <= end));
        let failures = possible.map(|(at, kind)| {
            let kind = match kind {
                0 => FailureKind::Instances { revision: None, count: 2 },
                1 if with_nodes => FailureKind::Node,
                3 if with_nodes => FailureKind::NodeShare { share: 0.6 },
                4 => FailureKind::InstanceShare { share: 0.3 },
                _ => FailureKind::Controller { down: SimSpan::from_secs(12) },
            };
            // Some are told before, and some come again.
            let told = !matches!(kind, FailureKind::Controller { .. }) && at % 2 == 0;
            Failure {
                every: (at % 3 == 0).then(|| SimSpan::from_secs(40)),
                notice: if told { SimSpan::from_secs(at % 9) } else { SimSpan::ZERO },
                ..Failure::once(SimTime::from_secs(at), kind)
            }
        });
        Scenario {
            seed,
            duration: duration.map(SimSpan::from_secs),
            warm_up: SimSpan::from_secs(warm_up),
            revision,
            nodes: with_nodes.then(nodes).into_iter().collect(),
            starts: StartModel {
                contention: start_contention,
                per_second: starts_per_second.map(f64::from),
                in_turns: StartsInTurns::parse(starts_at_once).expect("turns"),
            },
            failures: failures.collect(),
            clients: (clients && duration.is_some()).then(|| Clients {
                count: 5,
                think: law("exp:1s"),
                revision: "traffic".to_owned(),
            }),
            recording: Recording { decisions: 50, ..Recording::REPORT },
            ..Scenario::default()
        }
    }
}

/// Counts ended requests by outcome.
#[derive(Default)]
struct Counts {
    ended: [u64; 4],
    retried: u64,
}

impl Observer for Counts {
    fn request(&mut self, request: &RequestRecord) {
        assert!(request.arrived <= request.ended);
        if let Some(started) = request.started {
            assert!(request.arrived <= started && started <= request.ended);
        }
        let kind = match request.outcome {
            Outcome::Completed => 0,
            Outcome::Rejected => 1,
            Outcome::TimedOut => 2,
            _ => 3,
        };
        self.ended[kind] += 1;
        self.retried += u64::from(request.retries > 0);
    }
}

fn simulate(scenario: &Scenario) -> (RunOutput, Counts) {
    let until = SimSpan::from_secs(90);
    let traffic = Generated::new("mmpp:8,0.2,10s,15s", 0, until, scenario.seed).expect("parses");
    let mut counts = Counts::default();
    let output = run(scenario, &traffic, &mut counts).expect("runs");
    (output, counts)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_or_made_up_and_everything_repeats(scenario in scenarios()) {
        let (output, counts) = simulate(&scenario);
        let result = &output.result;
        let ended = result.completed + result.rejected + result.timed_out + result.failed;
        prop_assert_eq!(result.requests, ended + result.in_flight);
        if scenario.warm_up == SimSpan::ZERO {
            let told = [result.completed, result.rejected, result.timed_out, result.failed];
            prop_assert_eq!(counts.ended, told);
            let area = result.extra.concurrency_mean * result.simulated_seconds;
            let inside = result.extra.time_in_system_seconds;
            prop_assert!((area - inside).abs() <= 1e-9 * area.max(1.0), "{} {}", area, inside);
        }
        prop_assert!(result.idle_share >= 0.0 && result.idle_share <= 1.0);
        prop_assert!(result.latency_ms.p50 <= result.latency_ms.p99);
        prop_assert!(result.latency_ms.p99 <= result.latency_ms.max);
        prop_assert!(result.extra.busy_mean <= result.instances.mean + 1e-9);
        prop_assert!(output.decisions.len() <= 50);
        let series = &output.series[0];
        let arrivals: u64 = series.points.iter().map(|point| point.arrivals).sum();
        prop_assert!(arrivals >= result.requests);

        let (again, _) = simulate(&scenario);
        let bytes = |output: &RunOutput| serde_json::to_string(output).expect("serializes");
        prop_assert_eq!(bytes(&output), bytes(&again));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,24}", number in "[-+0-9.eE]{0,8}") {
        let read = |_: &str| Ok(text.clone());
        for candidate in [
            text.clone(),
            format!("exp:{text}"),
            format!("lognormal:{number}s,{text}"),
            format!("weibull:{number},{number}ms"),
            "empirical:file".to_owned(),
            format!("a={number}..{number}/{number}{text}"),
            format!("p99<{number}{text}"),
            format!("cold<{number}%"),
            format!("curve:{number},{text}"),
            format!("ps:{number}"),
            format!("keep-alive:{number}{text}"),
        ] {
            let _law = Distribution::parse(&candidate, &read);
            let _contention = Contention::parse(&candidate);
            let _policy = PolicyChoice::parse(&candidate);
            let _dimension = Dimension::parse(&candidate);
            let _objective = Objective::parse(&candidate);
            let _unknown = RevisionModel::default().set(&text, &candidate);
        }
    }

    #[test]
    fn absurdly_long_times_end_too(
        field in 0_u8..7,
        policy in policies(),
        span in prop::sample::select(vec![u64::MAX, u64::MAX / 2, 1 << 62]),
    ) {
        let endless = Distribution::Constant(SimSpan::from_nanos(span));
        let mut revision = RevisionModel { policy, ..RevisionModel::default() };
        match field {
            0 => revision.service = endless,
            1 => revision.start_up.schedule = endless,
            2 => revision.start_up.pull = endless,
            3 => revision.start_up.probe_period = SimSpan::from_nanos(span),
            4 => revision.timeout = Some(SimSpan::from_nanos(span)),
            5 => revision.drain = SimSpan::from_nanos(span),
            _ => revision.policy = PolicyChoice::KeepAlive(SimSpan::from_nanos(span)),
        }
        let scenario = Scenario {
            revision,
            duration: Some(SimSpan::from_secs(300)),
            ..Scenario::default()
        };
        let (output, _) = simulate(&scenario);
        prop_assert_eq!(output.result.simulated_seconds, 300.0);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let variant = |seed: u64| {
        let revision = RevisionModel { service: law("exp:400ms"), ..RevisionModel::default() };
        let scenario = Scenario {
            seed,
            revision,
            recording: Recording { series: Keep::Yes, ..Recording::NOTHING },
            ..Scenario::default()
        };
        Variant { name: seed.to_string(), scenario }
    };
    let variants: Vec<Variant> = (0..6).map(variant).collect();
    let traffic = Generated::new("poisson:20", 0, SimSpan::from_secs(100), 1).expect("parses");
    let run_on = |threads: usize| {
        let threads = NonZeroUsize::new(threads).expect("is not zero");
        let effort = Effort::once(threads);
        let mut outputs = compare(&variants, &traffic, effort, || {}).expect("runs");
        for output in &mut outputs {
            output.result.wall_seconds = 0.0;
            output.result.requests_per_wall_second = 0.0;
            output.result.peak_rss_bytes = 0;
        }
        serde_json::to_string(&outputs).expect("serializes")
    };
    let single = run_on(1);
    assert_eq!(single, run_on(2));
    assert_eq!(single, run_on(5));
}
