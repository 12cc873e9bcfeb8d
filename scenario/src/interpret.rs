//! From a scenario's kind and input to its answer.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tidegate_words::{did_you_mean, excerpt, list};

use crate::context::{Context, Explanations};
use crate::envelope::Scenario;
use crate::error::{At, ScenarioError};
use crate::input::{self, OnUnknown, UnknownField};
use crate::rules::Rules;
use crate::{collector, kpa, pipeline, request_stats, scale, settings, subset, window, wire};

const KINDS: [&str; 14] = [
    "window",
    "max_window",
    "smoothing",
    "sample_size",
    "scale",
    "collector",
    "pipeline",
    "resolve",
    "config",
    "annotations",
    "kpa",
    "request_stats",
    "subset",
    "wire",
];

/// Answers scenarios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interpreter {
    /// Whose rules count where Knative and Tidegate differ.
    pub rules: Rules,
    /// Whether the reason of each decision is put into words.
    pub explains: Explains,
}

/// Whether reasons are put into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explains {
    /// One sentence for each decision.
    Yes,
    /// None, which is faster.
    No,
}

/// What the libraries answer to a scenario.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the scenario's field `expected` should say.
    pub expected: Box<RawValue>,
    /// The reason of each decision, if they were asked for.
    pub explanations: Option<Vec<String>>,
}

impl Interpreter {
    /// Answers one scenario. `unknown` is called with each field of the input that the kind does
    /// not have: its path, such as `input.ticks[0].redy`, and the field that was most likely meant.
    /// That is no error, so that files may carry remarks.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`] names the first field that cannot be answered, and what was expected.
    pub fn answer(
        &self,
        scenario: &Scenario,
        unknown: &mut dyn FnMut(&UnknownField),
    ) -> Result<Answer, ScenarioError> {
        let kind = scenario.kind()?;
        let base_unix_ms = scenario.base_unix_ms()?;
        scenario.tell_misspelt_base(unknown);
        let explanations = match self.explains {
            Explains::Yes => Explanations::kept(),
            Explains::No => Explanations::dropped(),
        };
        let context = Context { base_unix_ms, rules: self.rules, explanations };
        let question = Question { input: scenario.input()?, context, unknown };
        match kind.as_str() {
            "window" => question.put(window::window),
            "max_window" => question.put(window::max_window),
            "smoothing" => question.put(window::smoothing),
            "sample_size" => question.put(window::sample_size),
            "scale" => question.put(scale::scale),
            "collector" => question.put(collector::collector),
            "pipeline" => question.put(pipeline::pipeline),
            "resolve" => question.put(settings::resolve),
            "config" => question.put(settings::config),
            "annotations" => question.put(settings::annotations),
            "kpa" => question.put(kpa::kpa),
            "request_stats" => question.put(request_stats::request_stats),
            "subset" => question.put(subset::subset),
            "wire" => question.put(wire::wire),
            _ => {
                let (found, near) = (excerpt(&kind), did_you_mean(&kind, KINDS));
                let known = list(KINDS);
                let message = format!("unknown kind \"{found}\", expected one of {known}{near}");
                Err(ScenarioError::new("kind", message))
            }
        }
    }
}

/// One scenario on its way to a library.
struct Question<'a> {
    input: serde_json::Value,
    context: Context,
    unknown: &'a mut OnUnknown<'a>,
}

impl Question<'_> {
    fn put<I: DeserializeOwned, O: Serialize>(
        mut self,
        kind: fn(I, &mut Context) -> Result<O, ScenarioError>,
    ) -> Result<Answer, ScenarioError> {
        let input = input::read(&self.input, self.unknown)?;
        let output = kind(input, &mut self.context)?;
        let expected = serde_json::value::to_raw_value(&output).at("expected")?;
        Ok(Answer { expected, explanations: self.context.explanations.into_sentences() })
    }
}
