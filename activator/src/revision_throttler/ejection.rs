//! How long an instance that could not be reached is left out, and when it is looked at again.
//!
//! A refusal is an answer: somebody lives there and nobody listens yet, or any more. Asking again
//! costs a round trip, so it is asked again soon and always at the same pace. Silence costs a
//! timeout, and what fell silent seldom comes back at once: each further one doubles the time.
//! Whoever is out is looked at by us and not by a request, so nobody waits for it.

use std::io::ErrorKind;
use std::time::Duration;

use tidegate_relay::ForwardError;

/// How long an instance is left out at first.
pub const FIRST_EJECTION: Duration = Duration::from_millis(500);
/// However often it stayed silent: a node that is back is in use again after this time at most.
pub const LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// Between two looks while nobody else is there to take a request: Knative's pause between two
/// attempts to connect.
const EAGER_PAUSE: Duration = Duration::from_millis(45);
/// How long a look may take: a first packet that was lost is sent again after a second.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(3);
/// The first look while nobody else is there; each further one may take half as long again, so
/// that a network which opens up is noticed soon, and one that is slow in the end.
const FIRST_EAGER_LIMIT: Duration = Duration::from_millis(50);

/// How an instance could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// It refused.
    Refused,
    /// It neither accepted nor refused, or did not acknowledge what it was sent.
    Silent,
}

impl Unreachable {
    /// What a failure says about the instance.
    pub(crate) fn of(error: &ForwardError) -> Option<Self> {
        use ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
        let nobody_answers = |source: &std::io::Error| {
            matches!(source.kind(), HostUnreachable | NetworkUnreachable | TimedOut)
        };
        match error {
            ForwardError::ConnectTimedOut { .. } => Some(Self::Silent),
            ForwardError::Connect { source, .. } if nobody_answers(source) => Some(Self::Silent),
            ForwardError::Connect { .. } => Some(Self::Refused),
            ForwardError::Io(source) if nobody_answers(source) => Some(Self::Silent),
            _ => None,
        }
    }
}

/// What an instance has done to be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// Times in a row that it was silent.
    silences: u32,
}

impl Record {
    /// It could not be reached once more. Gives for how long it is left out.
    pub(super) fn failed(&mut self, how: Unreachable) -> Duration {
        match how {
            Unreachable::Refused => FIRST_EJECTION,
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

/// How long the look with this number may take, beginning with 0, while nobody else is there.
pub(super) fn eager_limit(look: u32) -> Duration {
    let grown = FIRST_EAGER_LIMIT.mul_f64(1.5_f64.powi(look.min(32).cast_signed()));
    grown.min(LOOK_LIMIT)
}

/// Whether a request waits that only an instance which is out could take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// None does, or others take them.
    None,
    /// At least one does, and so many instances are out.
    Urgent { out: u32 },
}

impl Need {
    /// The pause between two looks: however many are out, looking at them stays cheap.
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
    fn silence_doubles_the_time_until_a_request_gets_through() {
        let mut record = Record::default();
        let mut left_out = || record.failed(Unreachable::Silent).as_millis();
        let times: Vec<_> = (0..8).map(|_| left_out()).collect();
        assert_eq!(times, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        record.reached();
        assert_eq!(record.failed(Unreachable::Silent), FIRST_EJECTION);
    }

    #[test]
    fn it_never_overflows() {
        let mut record = Record { silences: u32::MAX };
        assert_eq!(record.failed(Unreachable::Silent), LONGEST_EJECTION);
        assert_eq!(eager_limit(u32::MAX), LOOK_LIMIT);
    }

    #[test]
    fn refusals_are_asked_again_at_one_pace() {
        let mut record = Record::default();
        for _ in 0..5 {
            assert_eq!(record.failed(Unreachable::Refused), FIRST_EJECTION);
        }
        assert_eq!(record.silences(), 0);
    }

    #[test]
    fn alone_it_is_looked_at_as_often_as_knative_would_try() {
        assert_eq!(eager_limit(0), FIRST_EAGER_LIMIT);
        let first_second: u32 = (0..)
            .take_while(|look| {
                let until: Duration = (0..=*look).map(|n| eager_limit(n) + EAGER_PAUSE).sum();
                until < Duration::from_secs(1)
            })
            .count()
            .try_into()
            .unwrap();
        assert!((4..=7).contains(&first_second), "{first_second}");
    }
}
