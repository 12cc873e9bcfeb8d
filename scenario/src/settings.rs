//! Kinds `resolve`, `config`, `annotations`: settings, read, checked and turned into numbers.

mod output;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::settings::{
    Config, Overrides, Reachability, Resolved, Strictness, Violations, Workload,
    unknown_annotations, unknown_config_keys, validate_annotations,
};

use self::output::{ConfigOutput, ResolvedOutput};
use crate::context::Context;
use crate::error::{At, ScenarioError};

#[derive(Debug, Deserialize)]
pub(super) struct Cases<C> {
    #[serde(default = "Vec::new")]
    cases: Vec<C>,
}

#[derive(Debug, Serialize)]
pub(super) struct Answers<A> {
    cases: Vec<A>,
}

/// What a route says of a revision.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) enum ReachabilityInput {
    #[default]
    #[serde(rename = "")]
    Unknown,
    Reachable,
    Unreachable,
}

impl From<ReachabilityInput> for Reachability {
    fn from(input: ReachabilityInput) -> Self {
        match input {
            ReachabilityInput::Unknown => Self::Unknown,
            ReachabilityInput::Reachable => Self::Reachable,
            ReachabilityInput::Unreachable => Self::Unreachable,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RevisionSettingsInput {
    config: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    container_concurrency: u32,
    reachability: ReachabilityInput,
}

pub(super) fn resolve(
    input: Cases<RevisionSettingsInput>,
    context: &mut Context,
) -> Result<Answers<ResolvedOutput>, ScenarioError> {
    let mut cases = Vec::with_capacity(input.cases.len());
    for (index, case) in input.cases.iter().enumerate() {
        let path = format!("input.cases[{index}].config");
        let config = read_config(&case.config, context.rules.strictness(), &path)?;
        let workload = Workload {
            container_concurrency: case.container_concurrency,
            reachability: case.reachability.into(),
        };
        let resolved = Resolved::new(&config, &Overrides::read(&case.annotations), workload);
        context.explanations.say(|| explain_resolved(&resolved));
        cases.push(ResolvedOutput::of(&resolved));
    }
    Ok(Answers { cases })
}

/// The cluster's settings; a fault names everything that is refused.
pub(super) fn read_config(
    data: &BTreeMap<String, String>,
    strictness: Strictness,
    path: &str,
) -> Result<Config, ScenarioError> {
    Config::from_map(data, strictness).map_err(one_line).at(path)
}

fn one_line(violations: Violations) -> String {
    sentences(&violations).join("; ")
}

fn sentences(violations: &Violations) -> Vec<String> {
    violations.as_slice().iter().map(ToString::to_string).collect()
}

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    ok: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigOutput>,
}

impl Verdict {
    fn of<T>(outcome: &Result<T, Violations>) -> Self {
        let errors = outcome.as_ref().err().map(sentences).unwrap_or_default();
        Self { ok: outcome.is_ok(), errors, config: None }
    }
}

pub(super) fn config(
    input: Cases<BTreeMap<String, String>>,
    context: &mut Context,
) -> Result<Answers<Verdict>, ScenarioError> {
    let mut cases = Vec::with_capacity(input.cases.len());
    for data in &input.cases {
        let outcome = Config::from_map(data, context.rules.strictness());
        context.explanations.say(|| {
            let strict = Config::from_map(data, Strictness::Strict);
            explain_verdict(&outcome, &strict, &unknown_config_keys(data))
        });
        let mut verdict = Verdict::of(&outcome);
        verdict.config = outcome.as_ref().ok().map(ConfigOutput::of);
        cases.push(verdict);
    }
    Ok(Answers { cases })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnnotationsInput {
    config: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

pub(super) fn annotations(
    input: Cases<AnnotationsInput>,
    context: &mut Context,
) -> Result<Answers<Verdict>, ScenarioError> {
    let mut cases = Vec::with_capacity(input.cases.len());
    for (index, case) in input.cases.iter().enumerate() {
        let path = format!("input.cases[{index}].config");
        let config = read_config(&case.config, context.rules.strictness(), &path)?;
        let strictness = context.rules.strictness();
        let outcome = validate_annotations(&case.annotations, &config, strictness);
        context.explanations.say(|| {
            let strict = validate_annotations(&case.annotations, &config, Strictness::Strict);
            explain_verdict(&outcome, &strict, &unknown_annotations(&case.annotations))
        });
        cases.push(Verdict::of(&outcome));
    }
    Ok(Answers { cases })
}

/// Whether Knative accepts it, whether Tidegate alone would, and which keys are unknown.
fn explain_verdict<A, B>(
    knative: &Result<A, Violations>,
    strict: &Result<B, Violations>,
    unknown: &[&str],
) -> String {
    let ignored = match unknown {
        [] => String::new(),
        keys => format!("; unknown: {}", keys.join(", ")),
    };
    let verdict = match (knative, strict) {
        (Err(violations), _) => format!("refused: {}", sentences(violations).join("; ")),
        (Ok(_), Err(violations)) => {
            let findings = sentences(violations).join("; ");
            format!("accepted by Knative; Tidegate itself refuses: {findings}")
        }
        (Ok(_), Ok(_)) => "accepted".to_owned(),
    };
    verdict + &ignored
}

fn explain_resolved(resolved: &Resolved) -> String {
    let Resolved { metric, bounds, stable_window, panic_window, spec, .. } = resolved;
    let most = match bounds.max {
        0 => "no upper bound".to_owned(),
        max => format!("at most {max}"),
    };
    format!(
        "each instance should carry {} of {metric} and can carry {}; averages over \
         {stable_window}, panic from {} times the capacity over {panic_window}; \
         at least {}, {most}",
        spec.target_value, spec.total_value, spec.panic_threshold, bounds.min
    )
}
