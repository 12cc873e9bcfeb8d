//! The values of `--abandoned`, for every verb that has the flag.

use std::time::Duration;

use tidegate_admission::Abandoned;

/// What happens to a slot when its client disconnects while the app works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AbandonedRule {
    /// It stays taken until the app is done: the limit counts what is inside.
    Hold,
    /// It is free at once, and the app is told by closing the connection.
    Release,
}

impl AbandonedRule {
    /// The rule, for requests that may take this long.
    pub fn within(self, request_timeout: Duration) -> Abandoned {
        match self {
            Self::Hold => Abandoned::hold(Some(request_timeout)),
            Self::Release => Abandoned::Release,
        }
    }

    /// The value of `TIDEGATE_ABANDONED` that configures a sidecar so.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
        }
    }
}
