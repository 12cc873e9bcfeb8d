//! A span that is over, as every exporter takes it.

use std::time::{Duration, SystemTime};

pub use tidegate_otlp::{Resource, Value};

/// A finished span.
#[derive(Debug, Clone)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// What kind of span it is.
    pub kind: Kind,
    /// The trace.
    pub trace: u128,
    /// This span.
    pub id: u64,
    /// The span above; `None` at the root.
    pub parent: Option<u64>,
    /// Whether the span above is the caller's.
    pub parentage: Parentage,
    /// The instrumentation scope that recorded it.
    pub scope: &'static str,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub length: Duration,
    /// What is known about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub outcome: Outcome,
}

/// The kinds of spans that a proxy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Within the sidecar.
    Internal,
    /// A request that the sidecar receives.
    Server,
    /// A request that the sidecar sends.
    Client,
}

/// Where the span above was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parentage {
    /// In the sidecar, or there is none.
    Local,
    /// In the caller.
    Remote,
}

/// Whether something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did not, as far as the status shows.
    Unset,
    /// It did.
    Error,
}

impl Span {
    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let attribute = |(_, value): &(&str, Value)| {
            size_of::<(&str, Value)>()
                + match value {
                    Value::Text(text) => text.len(),
                    Value::Int(_) => 0,
                }
        };
        size_of::<Self>() + self.name.len() + self.attributes.iter().map(attribute).sum::<usize>()
    }
}
