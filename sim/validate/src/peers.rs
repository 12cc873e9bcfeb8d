//! What another simulator and a commercial platform did.

use crate::{Allowed, Case, Check, ValidateOptions};
use tidegate_sim::distribution::Distribution;
use tidegate_sim::engine::{RunError, run};
use tidegate_sim::result::SimResult;
use tidegate_sim::scenario::{Balance, Path, PolicyChoice, RevisionModel, Scenario, StartUp};
use tidegate_sim::time::SimSpan;
use tidegate_sim_traffic::Generated;

const SIMFAAS: &str = "SimFaaS";
const LAMBDA: &str = "AWS Lambda";
const SIMFAAS_SOURCE: &str = "SimFaaS, steady state of its README, 1e6 s";
const LAMBDA_SOURCE: &str = "SimFaaS, measurements on AWS Lambda";

/// Mean service of a warm request, seconds.
const WARM_S: f64 = 1.991;
/// Mean service of a request that starts an instance, seconds.
const COLD_S: f64 = 2.244;
/// An instance idle for this long is removed, seconds.
const KEEP_S: f64 = 600.0;
/// Length of a run, seconds, and how many are averaged.
const RUN_S: f64 = 1_000_000.0;
const RUNS: u64 = 5;

/// SimFaaS' own figures from three runs of the same case: its README, its notebook, and one made
/// for this comparison. Their spread is what a single run of theirs leaves open.
const STEADY: [(&str, [f64; 3]); 4] = [
    ("share of cold starts", [0.0014, 0.0013, 0.0014]),
    ("instances", [7.6612, 7.6910, 7.7034]),
    ("instances running", [1.7879, 1.7971, 1.7881]),
    ("instances idle", [5.8733, 5.8940, 5.9152]),
];

/// Share of the time with n instances, from SimFaaS.
const STATES: [(u64, f64); 6] =
    [(6, 0.0520), (7, 0.4041), (8, 0.3876), (9, 0.1197), (10, 0.0306), (11, 0.0054)];

/// Requests per second, share of cold starts, mean instances: measured.
const MEASURED: [(f64, f64, f64); 9] = [
    (0.001_86, 0.343, 0.674),
    (0.004_25, 0.0795, 0.946),
    (0.0164, 0.0196, 1.270),
    (0.0501, 0.008_54, 2.114),
    (0.0999, 0.005_95, 2.764),
    (0.302, 0.002_94, 4.42),
    (0.500, 0.001_91, 5.69),
    (0.902, 0.001_51, 7.87),
    (1.0005, 0.001_31, 8.40),
];

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![(SIMFAAS, Box::new(steady)), (LAMBDA, Box::new(lambda))]
}

fn model() -> RevisionModel {
    RevisionModel {
        policy: PolicyChoice::KeepAlive(SimSpan::from_secs_f64(KEEP_S)),
        concurrency: 1,
        service: Distribution::exponential(WARM_S),
        start_up: StartUp::total(Distribution::exponential(COLD_S - WARM_S)),
        path: Path::Central,
        // Requests are packed onto the oldest instances, so the youngest fall idle and are removed.
        front_door_balance: Balance::FirstAvailable,
        ..RevisionModel::default()
    }
}

fn runs(options: &ValidateOptions, rate: f64) -> Result<Vec<SimResult>, RunError> {
    let one = |number: u64| {
        let seed = options.seed.wrapping_mul(1_000).wrapping_add(number);
        let duration = SimSpan::from_secs_f64(RUN_S);
        let scenario = Scenario {
            seed,
            duration: Some(duration),
            warm_up: SimSpan::from_secs(5_000),
            revision: model(),
            ..Scenario::default()
        };
        let traffic = Generated::new(&format!("poisson:{rate}"), 0, duration, seed)
            .map_err(RunError::Traffic)?;
        run(&scenario, &traffic, &mut ()).map(|output| output.result)
    };
    (0..RUNS).map(one).collect()
}

fn cold_share(result: &SimResult) -> f64 {
    result.cold_starts as f64 / result.requests.max(1) as f64
}

fn steady(options: &ValidateOptions) -> Result<Vec<Check>, RunError> {
    let results = runs(options, 0.9)?;
    let case = "0.9 rps, warm 1.991 s, cold 2.244 s, kept 600 s";
    let ours = [
        super::mean_and_error(&results, cold_share),
        super::mean_and_error(&results, |r| r.instances.mean),
        super::mean_and_error(&results, |r| r.extra.busy_mean),
        super::mean_and_error(&results, |r| r.instances.mean - r.extra.busy_mean),
    ];
    let mut checks = Vec::new();
    for ((figure, theirs), (mean, error)) in STEADY.into_iter().zip(ours) {
        let (expected, spread) = mean_and_spread(&theirs);
        // A single run of theirs against the mean of ours: both scatter.
        let bound = 3.0 * libm::sqrt(spread * spread + error * error * (RUNS as f64));
        checks.push(
            Check::new(SIMFAAS, case, figure, expected, mean)
                .with_error(error)
                .from(SIMFAAS_SOURCE)
                .within(Allowed::Absolute(bound)),
        );
    }
    let (running, error) = ours[2];
    checks.push(
        Check::new(SIMFAAS, case, "instances running, exactly", 0.9 * WARM_S, running)
            .with_error(error)
            .from("lambda E[S]")
            .within(Allowed::Share(0.01)),
    );
    for (count, theirs) in STATES {
        let share = |r: &SimResult| {
            r.extra.ready_histogram.get(&count).copied().unwrap_or(0.0) / r.simulated_seconds
        };
        let (mean, error) = super::mean_and_error(&results, share);
        checks.push(
            Check::new(
                SIMFAAS,
                case,
                &format!("share of time with {count} instances"),
                theirs,
                mean,
            )
            .with_error(error)
            .from(SIMFAAS_SOURCE)
            .within(Allowed::Shown),
        );
    }
    Ok(checks)
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, libm::sqrt(squares / (n - 1.0)))
}

fn lambda(options: &ValidateOptions) -> Result<Vec<Check>, RunError> {
    let mut checks = Vec::new();
    let (mut cold_errors, mut instance_errors) = (0.0, 0.0);
    for (rate, cold, instances) in MEASURED {
        let results = runs(options, rate)?;
        let (our_cold, cold_error) = super::mean_and_error(&results, cold_share);
        let (ours, error) = super::mean_and_error(&results, |r| r.instances.mean);
        cold_errors += (our_cold / cold - 1.0).abs();
        instance_errors += (ours / instances - 1.0).abs();
        let case = format!("{rate} rps");
        checks.push(
            Check::new(LAMBDA, &case, "share of cold starts", cold, our_cold)
                .with_error(cold_error)
                .from(LAMBDA_SOURCE)
                .within(Allowed::Shown),
        );
        checks.push(
            Check::new(LAMBDA, &case, "mean instances", instances, ours)
                .with_error(error)
                .from(LAMBDA_SOURCE)
                .within(Allowed::Shown),
        );
    }
    let n = MEASURED.len() as f64;
    checks.push(
        Check::new(
            LAMBDA,
            "9 rates",
            "cold starts, mean error; SimFaaS has",
            0.1223,
            cold_errors / n,
        )
        .from(LAMBDA_SOURCE)
        .within(Allowed::AtMost),
    );
    checks.push(
        Check::new(
            LAMBDA,
            "9 rates",
            "instances, mean error; SimFaaS has",
            0.0305,
            instance_errors / n,
        )
        .from(LAMBDA_SOURCE)
        .within(Allowed::AtMost),
    );
    Ok(checks)
}
