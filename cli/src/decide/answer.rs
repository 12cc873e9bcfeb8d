//! From a scenario's kind and input to its answer.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tidegate_autoscaler::Improvements;
use tidegate_autoscaler::settings::Strictness;

use super::envelope::{Envelope, MAX_TIME_MS};
use super::fault::{At, Fault};
use super::{collector, kpa, pipeline, request_stats, scale, settings, subset, window, wire};

const KINDS: &str = "window, max_window, smoothing, sample_size, scale, collector, pipeline, \
                     resolve, config, annotations, kpa, request_stats, subset, wire";

/// What the libraries answer to a scenario.
pub(crate) fn answer(
    envelope: &Envelope,
    rules: Rules,
    explanations: &mut Explanations,
) -> Result<Box<RawValue>, Fault> {
    let kind = envelope.kind()?;
    let base_unix_ms = envelope.base_unix_ms()?;
    let input = Some(envelope.input()?);
    let mut question = Question { base_unix_ms, rules, input, explanations };
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
        _ => Err(Fault::new("kind", format!("unknown kind {kind:?}, expected one of {KINDS}"))),
    }
}

/// Whose rules count where Knative and Tidegate differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Knative's, decision for decision and setting for setting.
    Knative,
    /// Tidegate's own: every improvement, and strict settings.
    Tidegate,
}

impl Rules {
    pub(crate) fn improvements(self) -> Improvements {
        match self {
            Self::Knative => Improvements::none(),
            Self::Tidegate => Improvements::all(),
        }
    }

    pub(crate) fn strictness(self) -> Strictness {
        match self {
            Self::Knative => Strictness::Knative,
            Self::Tidegate => Strictness::Strict,
        }
    }
}

/// One scenario on its way to a library.
struct Question<'a> {
    base_unix_ms: i64,
    rules: Rules,
    input: Option<serde_json::Value>,
    explanations: &'a mut Explanations,
}

/// What a kind's module gets besides the input.
pub(crate) struct Context<'a> {
    /// When the scenario's own time is 0.
    pub(crate) base_unix_ms: i64,
    /// Whose rules count.
    pub(crate) rules: Rules,
    /// Takes each decision's reason.
    pub(crate) explanations: &'a mut Explanations,
}

impl Question<'_> {
    fn put<I: DeserializeOwned, O: Serialize>(
        &mut self,
        kind: fn(I, &mut Context<'_>) -> Result<O, Fault>,
    ) -> Result<Box<RawValue>, Fault> {
        let input = read_input(self.input.take().unwrap_or_default())?;
        let (base_unix_ms, rules) = (self.base_unix_ms, self.rules);
        let mut context = Context { base_unix_ms, rules, explanations: &mut *self.explanations };
        let output = kind(input, &mut context)?;
        serde_json::value::to_raw_value(&output).at("expected")
    }
}

/// Reads a kind's input. A field that the kind does not know is most likely misspelt, which
/// would silently count as zero: worth a warning, but no fault, so that files may carry remarks.
fn read_input<I: DeserializeOwned>(input: serde_json::Value) -> Result<I, Fault> {
    let mut unknown = |path: serde_ignored::Path<'_>| {
        eprintln!("tidegate decide: warning: input.{path} is no field of this kind; ignored");
    };
    let input = serde_ignored::Deserializer::new(input, &mut unknown);
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = match error.path().to_string().as_str() {
            "." => "input".to_owned(),
            path => format!("input.{path}"),
        };
        Fault::new(path, error.into_inner())
    })
}

/// The reasons of a scenario's decisions, where they are asked for.
#[derive(Debug)]
pub(crate) struct Explanations {
    sentences: Option<Vec<String>>,
}

impl Explanations {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { sentences: wanted.then(Vec::new) }
    }

    /// Adds a reason, which is only put into words if anybody wants to read it.
    pub(crate) fn say(&mut self, sentence: impl FnOnce() -> String) {
        if let Some(sentences) = &mut self.sentences {
            sentences.push(sentence());
        }
    }

    /// The reasons as JSON, if they were wanted.
    pub(crate) fn into_json(self) -> Result<Option<Box<RawValue>>, Fault> {
        let json = self.sentences.map(|sentences| serde_json::value::to_raw_value(&sentences));
        json.transpose().at("explanations")
    }
}

/// A time of a scenario, in milliseconds after its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Deserialize)]
#[serde(try_from = "i64")]
pub(crate) struct TimeMs(i64);

impl TimeMs {
    pub(crate) fn get(self) -> i64 {
        self.0
    }

    /// The point in time.
    pub(crate) fn after(self, base_unix_ms: i64) -> tidegate_autoscaler::Timestamp {
        tidegate_autoscaler::Timestamp::from_millis(base_unix_ms.saturating_add(self.0))
    }
}

impl TryFrom<i64> for TimeMs {
    type Error = String;

    fn try_from(ms: i64) -> Result<Self, String> {
        if (-MAX_TIME_MS..=MAX_TIME_MS).contains(&ms) {
            return Ok(Self(ms));
        }
        Err(format!("the time {ms}, expected at most {MAX_TIME_MS} ms either way"))
    }
}
