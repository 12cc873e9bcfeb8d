//! Cold starts under a fixed keep-alive, counted over a published trace.

use std::path::PathBuf;

use crate::{Allowed, Case, Check, ValidateOptions};
use tidegate_sim::arrival::Traffic;
use tidegate_sim::distribution::Distribution;
use tidegate_sim::engine::{RunError, run};
use tidegate_sim::scenario::{Path, PolicyChoice, RevisionModel, Scenario};
use tidegate_sim::time::SimSpan;
use tidegate_sim_traffic::{Placement, TraceFile, TraceOptions};

const GROUP: &str = "Azure keep-alive";
/// Minutes an idle instance is kept.
const MINUTES: [u64; 6] = [1, 2, 5, 10, 20, 60];
/// Functions in a published sample, and its cold starts by minutes of keep-alive, counted by an
/// independent program: cold if the gap is longer than the keep-alive, first call cold.
const KNOWN: [(usize, [u64; 6]); 2] =
    [(250, [9_710, 7_094, 1_842, 1_290, 696, 324]), (100, [4_215, 2_950, 734, 481, 248, 123])];

pub(crate) fn cases(options: &ValidateOptions) -> Vec<(&'static str, Case)> {
    let case = |path: &PathBuf| {
        let path = path.clone();
        let run: Case = Box::new(move |options| count(options, path.clone()));
        (GROUP, run)
    };
    options.azure_invocations.iter().map(case).collect()
}

fn count(options: &ValidateOptions, path: PathBuf) -> Result<Vec<Check>, RunError> {
    let trace_options = TraceOptions { placement: Placement::Start, ..TraceOptions::default() };
    let trace = TraceFile::open(&path, trace_options)
        .map_err(|error| RunError::Traffic(Box::new(error)))?;
    let mut checks = Vec::new();
    for (position, minutes) in MINUTES.into_iter().enumerate() {
        let revision = RevisionModel {
            policy: PolicyChoice::KeepAlive(SimSpan::from_secs(60 * minutes)),
            concurrency: 1,
            service: Distribution::Constant(SimSpan::ZERO),
            path: Path::Central,
            ..RevisionModel::default()
        };
        let scenario = Scenario { seed: options.seed, revision, ..Scenario::default() };
        let result = run(&scenario, &trace, &mut ())?.result;
        let functions = result.revisions.len();
        let known = KNOWN.iter().find(|(count, _)| *count == functions);
        let ours = result.cold_starts as f64;
        let case = format!("{functions} functions, {} calls, kept {minutes} min", result.requests);
        let expected = known.map(|(_, counts)| counts[position] as f64);
        let check = Check::new(GROUP, &case, "cold starts", expected.unwrap_or(ours), ours)
            .from(&format!("counted on the minute grid of {}", trace.describe()));
        let allowed = if expected.is_some() { Allowed::Exact } else { Allowed::Shown };
        checks.push(check.within(allowed));
    }
    Ok(checks)
}
