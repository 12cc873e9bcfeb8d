//! Options for what a trace leaves open: what a revision is, how exact stamps are.

use tidegate_sim::time::SimSpan;

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
