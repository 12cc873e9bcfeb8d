//! What real Knative clusters did, as their authors published it.

use std::collections::BTreeMap;

use crate::{Allowed, Case, Check, ValidateOptions};
use tidegate_sim::distribution::Distribution;
use tidegate_sim::engine::{RunError, run};
use tidegate_sim::result::SimResult;
use tidegate_sim::scenario::{RevisionModel, Scenario, StartUp};
use tidegate_sim::time::SimSpan;
use tidegate_sim_traffic::Generated;

const STEADY: &str = "real Knative, steady state";
const ZERO: &str = "real Knative, scale to zero";
const STEADY_SOURCE: &str = "pacslab/conc-value-perf-modelling, Knative 0.19";
const ZERO_SOURCE: &str = "FeMux deployment, 100 apps on default Knative";

/// Requests per second, mean ready instances measured, half width of its 95 % interval.
type Point = (f64, f64, f64);

/// Scaling by concurrency, target 1, utilization 70 %.
const BY_CONCURRENCY: [Point; 5] = [
    (1.0, 1.002_676, 0.003_419),
    (2.0, 2.0, 0.0),
    (3.0, 2.748_711, 0.051_160),
    (5.0, 4.045_485, 0.030_387),
    (7.0, 5.409_035, 0.105_651),
];

/// Scaling by requests per second, target 1, utilization 70 %.
const BY_RATE: [Point; 5] = [
    (1.0, 2.0, 0.0),
    (2.0, 3.252_174, 0.074_708),
    (3.0, 4.723_746, 0.117_007),
    (5.0, 7.538_758, 0.098_778),
    (7.0, 10.248_783, 0.172_324),
];

/// How the experiment is modelled.
#[derive(Debug, Clone, Copy)]
struct Variant {
    name: &'static str,
    /// Requests that really come, of those the authors asked their client for.
    rate_factor: f64,
    /// Service time as the platform sees it, seconds.
    service_s: f64,
}

/// As published: the nominal rate, and the time the client measured.
const NOMINAL: Variant = Variant { name: "nominal", rate_factor: 1.0, service_s: 0.516 };
/// With two constants fitted to the same data: a calibration, not a proof.
const FITTED: Variant = Variant { name: "fitted", rate_factor: 0.985, service_s: 0.503 };

/// Simulated seconds of one steady state; the authors measured an hour.
const STEADY_S: f64 = 200_000.0;
/// Left out at its beginning.
const WARM_UP_S: f64 = 600.0;

/// Minutes between calls of a timer app, requests, and cold starts measured, all apps together.
const TIMERS: [(f64, u64, u64); 5] =
    [(1.0, 2_620, 0), (2.0, 1_309, 1_258), (3.0, 874, 871), (4.0, 327, 327), (5.0, 1_573, 1_567)];

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    let mut cases: Vec<(&'static str, Case)> = Vec::new();
    for variant in [NOMINAL, FITTED] {
        cases.push((STEADY, Box::new(move |o| steady(o, variant, "concurrency", &BY_CONCURRENCY))));
        cases.push((STEADY, Box::new(move |o| steady(o, variant, "rps", &BY_RATE))));
    }
    cases.push((STEADY, Box::new(deterministic)));
    cases.push((ZERO, Box::new(timers)));
    cases
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn steady(
    options: &ValidateOptions,
    variant: Variant,
    metric: &str,
    points: &[Point],
) -> Result<Vec<Check>, RunError> {
    let mut checks = Vec::new();
    let mut errors = 0.0;
    for &(rate, measured, half_width) in points {
        let revision = RevisionModel {
            settings: settings(&[
                ("metric", metric),
                ("target", "1"),
                ("panic-threshold-percentage", "1000"),
            ]),
            service: Distribution::Constant(SimSpan::from_secs_f64(variant.service_s)),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_millis(2_000))),
            initial: Some(1),
            ..RevisionModel::default()
        };
        let traffic = format!("poisson:{}", rate * variant.rate_factor);
        let result = simulate(options, revision, &traffic, STEADY_S, WARM_UP_S)?;
        let ours = result.instances.mean;
        errors += (ours / measured - 1.0).abs();
        let case = format!("{metric} target 1, {rate} rps, {} inputs", variant.name);
        checks.push(
            Check::new(STEADY, &case, "mean ready instances", measured, ours)
                .with_error(half_width / 1.96)
                .from(STEADY_SOURCE)
                .within(Allowed::Shown),
        );
    }
    let n = points.len() as f64;
    let case = format!("{metric} target 1, {} points, {} inputs", points.len(), variant.name);
    checks.push(
        Check::new(STEADY, &case, "mean absolute error, at most", 0.04, errors / n)
            .from(STEADY_SOURCE)
            .within(Allowed::AtMost),
    );
    Ok(checks)
}

/// Under a load that does not vary, the number is what the formula says.
fn deterministic(options: &ValidateOptions) -> Result<Vec<Check>, RunError> {
    let mut checks = Vec::new();
    for (rate, target) in [(35.0, 10.0), (72.0, 10.0), (200.0, 5.0), (1_000.0, 100.0)] {
        let revision = RevisionModel {
            settings: settings(&[("target", &format!("{target}"))]),
            service: Distribution::Constant(SimSpan::from_millis(900)),
            initial: Some(1),
            ..RevisionModel::default()
        };
        let spec = format!("constant:{rate}");
        let result = simulate(options, revision, &spec, 1_000.0, 200.0)?;
        let expected = libm::ceil(rate * 0.9 / (0.7 * target));
        let case = format!("constant {rate} rps of 900 ms, target {target}");
        checks.push(
            Check::new(STEADY, &case, "instances", expected, result.instances.mean)
                .from("ceil(concurrency / (0.7 target))")
                .within(Allowed::Exact),
        );
    }
    Ok(checks)
}

/// Apps that a timer calls: whether the last instance survives until the next call.
fn timers(options: &ValidateOptions) -> Result<Vec<Check>, RunError> {
    let mut checks = Vec::new();
    for (minutes, requests, cold) in TIMERS {
        let revision = RevisionModel {
            service: Distribution::Constant(SimSpan::from_millis(200)),
            start_up: StartUp::total(Distribution::Constant(SimSpan::from_millis(808))),
            concurrency: 1,
            ..RevisionModel::default()
        };
        // 21.8 hours, as measured; the first call is left to the warm-up.
        let seconds = 21.8 * 3_600.0;
        let spec = format!("timer:{}s,{}s", minutes * 60.0, 17.3);
        let result = simulate(options, revision, &spec, seconds, 30.0)?;
        let ours = result.cold_starts as f64 / result.requests.max(1) as f64;
        let measured = cold as f64 / requests as f64;
        let case = format!("called every {minutes} min ({cold} of {requests} measured cold)");
        let check = Check::new(ZERO, &case, "share of cold starts", measured, ours);
        checks.push(check.from(ZERO_SOURCE).within(Allowed::Shown));
        let (bound, allowed) =
            if minutes < 2.0 { (0.0, Allowed::Exact) } else { (0.97, Allowed::AtLeast) };
        let figure = if minutes < 2.0 { "cold starts, none" } else { "cold starts, at least 97 %" };
        checks.push(Check::new(ZERO, &case, figure, bound, ours).from(ZERO_SOURCE).within(allowed));
    }
    Ok(checks)
}

fn simulate(
    options: &ValidateOptions,
    revision: RevisionModel,
    traffic: &str,
    seconds: f64,
    warm_up_s: f64,
) -> Result<SimResult, RunError> {
    let duration = SimSpan::from_secs_f64(seconds);
    let scenario = Scenario {
        seed: options.seed,
        duration: Some(duration),
        warm_up: SimSpan::from_secs_f64(warm_up_s),
        revision,
        ..Scenario::default()
    };
    let traffic = Generated::new(traffic, 0, duration, options.seed).map_err(RunError::Traffic)?;
    run(&scenario, &traffic, &mut ()).map(|output| output.result)
}
