//! Options for what a trace leaves open: what a revision is, how exact stamps are.

use std::str::FromStr;

use tidegate_sim::time::SimSpan;
use tidegate_words::choose;

use crate::field::Unit;
use crate::rows::StampedAt;

/// What a user says about a file whose layout does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// The format of each line, in nginx's, Apache's or Envoy's notation.
    pub log_format: Option<String>,
    /// The field that holds the time of a request.
    pub time: Option<String>,
    /// The field that holds the service time.
    pub service: Option<String>,
    /// The field that holds the revision.
    pub revision: Option<String>,
    /// The unit of the time of a request, where it is a bare number.
    pub time_unit: Option<Unit>,
    /// The unit of the service time, where it is a bare number.
    pub service_unit: Option<Unit>,
    /// Which moment of a request its stamp names.
    pub stamps: Option<StampedAt>,
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all =
            [("s", Unit::Seconds), ("ms", Unit::Millis), ("us", Unit::Micros), ("ns", Unit::Nanos)];
        choose(text, &all, |(name, _)| name).map(|(_, unit)| unit)
    }
}

impl FromStr for StampedAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [("start", StampedAt::Start), ("end", StampedAt::End)];
        choose(text, &all, |(name, _)| name).map(|(_, at)| at)
    }
}

/// What a revision is in a trace that distinguishes functions and applications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// Each function (or virtual host, or route) scales by itself.
    #[default]
    Function,
    /// All functions of an application scale together, as they do on Azure.
    App,
    /// Everything is one revision.
    All,
}

impl FromStr for Grouping {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all =
            [("function", Grouping::Function), ("app", Grouping::App), ("all", Grouping::All)];
        choose(text, &all, |(name, _)| name).map(|(_, grouping)| grouping)
    }
}

/// When stamps that many requests share are spread inside their tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spread {
    /// When ticks are 0.1 s or longer and requests do share them.
    #[default]
    Auto,
    /// Never: every stamp is taken as exact.
    Never,
    /// Always.
    Always,
}

/// How long a language model works on each token, to turn token counts into service times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTimes {
    /// Time for a token of the prompt.
    pub input: SimSpan,
    /// Time for a token of the answer.
    pub output: SimSpan,
}
