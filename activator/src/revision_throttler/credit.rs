//! Credits of instances: what goes with a request, and how they are asked for.

use std::sync::Arc;

use tidegate_admission::credits::Spent;
use tidegate_relay::http::HeaderValue;
use tokio::sync::Semaphore;

/// The most streams of one activator. Each takes a descriptor and some ten kilobytes; instances
/// beyond are sent requests without credits.
pub const CREDIT_STREAMS_MAX: usize = 2_000;

/// How the instances of an activator are asked for credits. Cheap to clone; all clones share one
/// bound on the number of streams.
#[derive(Debug, Clone)]
pub struct CreditSettings {
    pub(super) secret: HeaderValue,
    pub(super) streams: Arc<Semaphore>,
}

impl CreditSettings {
    /// For sidecars that know this activator by `secret`.
    pub fn new(secret: HeaderValue) -> Self {
        Self { secret, streams: Arc::new(Semaphore::new(CREDIT_STREAMS_MAX)) }
    }
}

/// A credit that goes with a request.
#[derive(Debug)]
pub(super) struct Credit {
    /// The name of the stream that it came by.
    pub(super) stream: Arc<str>,
    pub(super) spent: Spent,
}

impl Credit {
    /// How a request shows it.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}-{}", self.stream, self.spent.number())).ok()
    }
}

/// How soon an instance is to be told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Only what it waits for.
    Prompt,
    /// Also what it can do without for a while.
    Leisurely,
}
