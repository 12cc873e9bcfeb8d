//! How long an instance that could not be reached is ejected, and when it is probed again.
//!
//! A refusal is a reply: the host is there and no process listens yet, or any more. A probe then
//! costs one round trip, so probes follow each other soon and always at the same pace. Silence
//! costs a timeout, and a silent host seldom returns at once: each further one doubles the time.
//! The activator probes ejected instances itself, so no request waits for the outcome.
//!
//! A sidecar whose app does not listen is reached and yet of no use: until the sidecar says that
//! its app is ready, the instance is as good as one that refuses.

use std::io::ErrorKind;
use std::time::Duration;

use tidegate_relay::{Cause, ForwardError};

/// How long an instance is ejected at first.
pub const FIRST_EJECTION: Duration = Duration::from_millis(500);
/// The longest ejection, however often it stayed silent: a node that is back is in use again after
/// this time.
pub const LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// Between two probes while no other instance can take a request: Knative's pause between two
/// attempts to connect.
const EAGER_PAUSE: Duration = Duration::from_millis(45);
/// How long a probe may take: a first packet that was lost is sent again after a second.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the first probe may take while no other instance can take a request; each further one
/// may take half as long again, so that a host that returns is noticed soon, and a slow network is
/// reached in the end.
const FIRST_EAGER_TIMEOUT: Duration = Duration::from_millis(50);

/// How an instance could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// It refused.
    Refused,
    /// It neither accepted nor refused, or did not acknowledge what it was sent.
    Silent,
    /// Its sidecar accepted, and said that its app refuses.
    AppRefused,
}

impl Unreachable {
    /// How a failure shows that the instance could not be reached; `None` if it was.
    pub(crate) fn of(error: &ForwardError) -> Option<Self> {
        use ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        let is_silence = |source: &std::io::Error| {
            matches!(source.kind(), HostUnreachable | NetworkUnreachable | TimedOut)
        };
        match error {
            ForwardError::ConnectTimedOut { .. } => Some(Self::Silent),
            ForwardError::Connect { source, .. } if is_silence(source) => Some(Self::Silent),
            ForwardError::Connect { .. } => Some(Self::Refused),
            ForwardError::Io(source) if is_silence(source) => Some(Self::Silent),
            ForwardError::Declined { cause: Cause::Unreachable, .. } => Some(Self::AppRefused),
            _ => None,
        }
    }
}

/// The failures of an instance that decide for how long it is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Times in a row that it was silent.
    silences: u32,
}

impl Record {
    /// It could not be reached once more. Gives for how long it is ejected.
    pub(super) fn failed(&mut self, how: Unreachable) -> Duration {
        match how {
            Unreachable::Refused | Unreachable::AppRefused => FIRST_EJECTION,
            Unreachable::Silent => {
                self.silences = self.silences.saturating_add(1);
                let doublings = (self.silences - 1).min(16);
                FIRST_EJECTION.saturating_mul(1 << doublings).min(LONGEST_EJECTION)
            }
        }
    }

    /// A request reached it.
    pub(super) fn reached(&mut self) {
        self.silences = 0;
    }

    /// Times in a row that it was silent.
    pub(super) fn silences(self) -> u32 {
        self.silences
    }
}

/// How long the probe with this number may take, counted from 0, while no other instance can take
/// a request.
pub(super) fn eager_timeout(attempt: u32) -> Duration {
    let grown = FIRST_EAGER_TIMEOUT.mul_f64(1.5_f64.powi(attempt.min(32).cast_signed()));
    grown.min(PROBE_TIMEOUT)
}

/// Whether a request waits that only an ejected instance could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// None does, or other instances take them.
    None,
    /// At least one does, and this many instances are ejected.
    Urgent { out: u32 },
}

impl Need {
    /// The pause between two probes, longer the more are ejected, so that probing stays cheap.
    pub(super) fn pause(self) -> Option<Duration> {
        match self {
            Need::None => None,
            Need::Urgent { out } => Some(EAGER_PAUSE.saturating_mul(out).min(FIRST_EJECTION)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejection_time_doubles_with_each_timeout_until_a_request_succeeds() {
        let mut record = Record::default();
        let mut ejected = || record.failed(Unreachable::Silent).as_millis();
        let times: Vec<_> = (0..8).map(|_| ejected()).collect();
        assert_eq!(times, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        record.reached();
        assert_eq!(record.failed(Unreachable::Silent), FIRST_EJECTION);
    }

    #[test]
    fn ejection_time_never_overflows() {
        let mut record = Record { silences: u32::MAX };
        assert_eq!(record.failed(Unreachable::Silent), LONGEST_EJECTION);
        assert_eq!(eager_timeout(u32::MAX), PROBE_TIMEOUT);
    }

    #[test]
    fn refused_connections_are_probed_at_a_constant_interval() {
        let mut record = Record::default();
        for _ in 0..5 {
            assert_eq!(record.failed(Unreachable::Refused), FIRST_EJECTION);
        }
        assert_eq!(record.silences(), 0);
    }

    #[test]
    fn the_only_instance_is_probed_as_often_as_knative_connects() {
        assert_eq!(eager_timeout(0), FIRST_EAGER_TIMEOUT);
        let first_second: u32 = (0..)
            .take_while(|attempt| {
                let until: Duration = (0..=*attempt).map(|n| eager_timeout(n) + EAGER_PAUSE).sum();
                until < Duration::from_secs(1)
            })
            .count()
            .try_into()
            .unwrap();
        assert!((4..=7).contains(&first_second), "{first_second}");
    }
}
