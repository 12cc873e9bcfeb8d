//! A revision whose instances idle sleeps, and nothing of it can be seen: a run leaves behind, to
//! the bit, what it leaves behind when every revision ticks each second. With a series nobody
//! sleeps, because it shows the averages of each decision; so the same run with and without one is
//! compared.

use proptest::prelude::*;
use tidegate_sim::scenario::{Clients, Detail, Keep, NodeModel, Path, Reporting, StartUp};
use tidegate_sim::{
    Arrival, ArrivalSource, Distribution, PolicyChoice, Recording, RevisionIndex, RevisionModel,
    RevisionNames, RunOutput, Scenario, SimResult, SimSpan, SimTime, SourceError, Traffic, arrival,
    run,
};

/// Calls of several functions: milliseconds, function, service time in milliseconds.
#[derive(Debug)]
struct Calls(Vec<(u64, u32, u64)>, u32);

impl Traffic for Calls {
    fn open(&self) -> Result<Box<dyn ArrivalSource + Send>, SourceError> {
        let mut names = RevisionNames::new();
        for number in 0..self.1 {
            names.intern(&format!("f{number}"));
        }
        let arrivals = self.0.iter().map(|&(at, revision, service)| Arrival {
            at: SimTime::from_millis(at),
            service: Some(SimSpan::from_millis(service)),
            revision: RevisionIndex(revision),
        });
        Ok(Box::new(arrival::ArrivalList::new(arrivals.collect(), names)))
    }

    fn sha256(&self) -> String {
        String::new()
    }

    fn describe(&self) -> String {
        "calls".to_owned()
    }
}

/// How many functions there are.
const FUNCTIONS: u32 = 5;

/// Pauses of a moment up to twenty minutes; whole seconds are where order matters.
fn calls() -> impl Strategy<Value = Calls> {
    let pause = prop_oneof![
        2 => 0_u64..500,
        3 => (0_u64..60).prop_map(|seconds| seconds * 1_000),
        3 => 0_u64..90_000,
        1 => 0_u64..1_200_000,
    ];
    let service = prop_oneof![4 => 0_u64..300, 1 => (0_u64..40).prop_map(|s| s * 1_000)];
    prop::collection::vec((pause, 0..FUNCTIONS, service), 0..60).prop_map(|steps| {
        let mut now = 0;
        let calls = steps.into_iter().map(|(pause, function, service)| {
            now += pause;
            (now, function, service)
        });
        Calls(calls.collect(), FUNCTIONS)
    })
}

fn settings() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let any = |key: &'static str, values: &'static [&'static str]| {
        prop::option::of(prop::sample::select(values.to_vec()).prop_map(move |value| (key, value)))
    };
    (
        any("min-scale", &["0", "1", "3"]),
        any("initial-scale", &["1", "2"]),
        any("target-burst-capacity", &["-1", "0", "2", "150"]),
        any("stable-window", &["6s", "20s", "3m"]),
        any("scale-down-delay", &["0s", "30s"]),
        any("scale-to-zero-pod-retention-period", &["0s", "45s"]),
        any("activation-scale", &["2"]),
        any("max-scale-down-rate", &["1.2", "8"]),
        any("metric", &["rps"]),
    )
        .prop_map(|(a, b, c, d, e, f, g, h, i)| {
            [a, b, c, d, e, f, g, h, i].into_iter().flatten().collect()
        })
}

prop_compose! {
    fn models()(
        policy in prop_oneof![
            6 => Just(PolicyChoice::Knative),
            1 => Just(PolicyChoice::Tidegate),
            1 => Just(PolicyChoice::Hpa),
            1 => Just(PolicyChoice::Fixed(1)),
            1 => Just(PolicyChoice::KeepAlive(SimSpan::from_secs(30))),
        ],
        settings in settings(),
        concurrency in prop::sample::select(vec![0_u32, 1, 1, 7]),
        path in prop::sample::select(vec![Path::Auto, Path::Auto, Path::Central, Path::Direct]),
        start_ms in prop::sample::select(vec![0_u64, 700, 9_000]),
        timeout in prop::option::of(1_u64..30),
        (lag, loss) in prop::sample::select(vec![
            (0_u64, 0.0), (0, 0.0), (0, 0.0), (2, 0.0), (0, 0.3),
        ]),
    ) -> RevisionModel {
        let named = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        RevisionModel {
            policy,
            settings: settings.into_iter().map(named).collect(),
            concurrency,
            path,
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_millis(start_ms))),
            timeout: timeout.map(SimSpan::from_secs),
            reporting: Reporting { lag: SimSpan::from_secs(lag), loss, ..Reporting::default() },
            ..RevisionModel::default()
        }
    }
}

prop_compose! {
    fn scenarios()(
        seed in 0_u64..1_000,
        revision in models(),
        others in prop::collection::vec(models(), 0..3),
        duration in prop_oneof![Just(None), (60_u64..3_000).prop_map(Some)],
        warm_up in prop::sample::select(vec![0_u64, 0, 7, 59]),
        nodes in prop::bool::weighted(0.3),
        clients in prop::bool::weighted(0.2),
    ) -> Scenario {
        let (capacity, idle) = (2, SimSpan::from_secs(20));
        let provisioning = Distribution::Constant(SimSpan::from_secs(15));
        let node =
            NodeModel { capacity, min: 1, max: 9, provisioning, idle, ..NodeModel::default() };
        let think = Distribution::Constant(SimSpan::from_secs(40));
        let clients = duration.is_some() && clients;
        Scenario {
            seed,
            duration: duration.map(SimSpan::from_secs),
            // What is counted from has to come before the end.
            warm_up: SimSpan::from_secs(if duration.is_some() { warm_up } else { 0 }),
            revision,
            revisions: (0..).map(|number: u32| format!("f{number}")).zip(others).collect(),
            nodes: nodes.then_some(node).into_iter().collect(),
            clients: clients.then(|| Clients { count: 2, think, revision: "f0".to_owned() }),
            ..Scenario::default()
        }
    }
}

/// What a run leaves behind, its series apart.
fn simulate(scenario: &Scenario, calls: &Calls, series: Keep, decisions: u32) -> RunOutput {
    let recording = Recording { series, decisions, cold_starts: 500, ..Recording::NOTHING };
    let scenario = Scenario { recording, ..scenario.clone() };
    RunOutput { series: Vec::new(), ..run(&scenario, calls, &mut ()).expect("it runs") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn sleep_cannot_be_seen(scenario in scenarios(), calls in calls()) {
        // Reasons are about the last decision, which is then made; without them it is not.
        for decisions in [5_000, 0] {
            let asleep = simulate(&scenario, &calls, Keep::No, decisions);
            let awake = simulate(&scenario, &calls, Keep::Yes, decisions);
            prop_assert_eq!(asleep, awake);
        }
    }
}

#[test]
fn sums_are_the_same_without_the_figures_of_each_revision() {
    let calls = Calls(vec![(500, 0, 20), (70_000, 1, 300), (71_000, 0, 40), (200_000, 2, 9)], 3);
    let keeping = |detail| {
        let recording = Recording { detail, ..Recording::NOTHING };
        let scenario = Scenario { recording, ..Scenario::default() };
        run(&scenario, &calls, &mut ()).expect("it runs").result
    };
    let (each, sums) = (keeping(Detail::Revisions), keeping(Detail::Totals));
    assert_eq!((each.revisions.len(), sums.revisions.len()), (3, 0));
    assert_eq!(SimResult { revisions: Vec::new(), ..each }, sums);
}

/// Ticks of each second would take as long as a test may not: thirty years have a billion.
#[test]
fn instances_that_idle_for_thirty_years_cost_nothing() {
    let years = SimSpan::from_secs(30 * 365 * 86_400);
    let scenario = Scenario {
        duration: Some(years),
        revision: RevisionModel {
            settings: [("min-scale".to_owned(), "2".to_owned())].into(),
            ..RevisionModel::default()
        },
        ..Scenario::default()
    };
    let calls = Calls(vec![(90_500, 1, 300), (86_400_000, 0, 5)], 2);
    let result = run(&scenario, &calls, &mut ()).expect("it runs").result;
    assert_eq!((result.completed, result.cold_starts), (2, 0));
    // Every other second, of both functions, and none is left out of the count.
    assert_eq!(result.extra.decisions, years.as_nanos() / 1_000_000_000);
    assert_eq!(result.instance_seconds, 4.0 * years.as_secs_f64());
}
