//! Counts attempts to reach the controller, and decides what is logged of them: one warning for
//! each change, not one for each attempt.

use std::time::Duration;

use tidegate_dial::Pending;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::Backoff;
use crate::transport::ConnectError;

/// An unchanged reason for having no controller is logged again after this time: seldom enough not
/// to fill a log over a weekend, often enough to be in the part of a log that is read.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Longest wait for a connection and for the response that opens the stream, at first.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often that doubles, to 24 s, for a peer that takes connections and answers none. A
/// controller to which thousands come at once, and which has little of a processor, would otherwise
/// spend it on connections that were given up before their turn, and never get to one that was not.
const PATIENCE_DOUBLINGS_MAX: u32 = 3;

/// Longest reason that is logged. It may quote what the peer at that address sent.
const REASON_BYTES_MAX: usize = 512;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    /// No connection could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The call failed, or the controller ended it with a status.
    #[error("{} ({:?})", .0.message(), .0.code())]
    Status(#[from] Status),
    /// The name server did not respond in time.
    #[error(transparent)]
    LookingUp(#[from] Pending),
    /// The peer did not respond in time.
    #[error("it does not answer")]
    Silent,
    /// The stream ended before its first message.
    #[error("it hung up at once")]
    HungUp,
    /// The controller ended the stream without a status.
    #[error("it ended the stream")]
    Ended,
    /// The controller stopped reading the stream.
    #[error("it takes no more")]
    Stalled,
}

/// What follows from a [`Loss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LossKind {
    /// There is no peer, or none any more: an early retry is right.
    Gone,
    /// The controller refuses this reporter as it is configured.
    Refused,
    /// There is a peer, but of another protocol, or TLS fails between the two ends.
    Mismatch,
}

impl Loss {
    pub(crate) fn kind(&self) -> LossKind {
        match self {
            Self::Connect(error) if error.is_mismatch() => LossKind::Mismatch,
            Self::Status(status) if is_refusal(status.code()) => LossKind::Refused,
            _ => LossKind::Gone,
        }
    }
}

/// Whether a controller that ends a stream with `code` would end the next one with it, too.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::AlreadyExists
            | Code::Unimplemented
    )
}

/// Attempts since the last stream that lasted.
#[derive(Default)]
pub(crate) struct Attempts {
    failures: u32,
    refusals: u32,
    /// Those to which nobody answered in time.
    silences: u32,
    /// The reason that was logged last, and when.
    told: Option<(String, Instant)>,
    suppressed: u64,
    connected: Connected,
}

/// What the log said last of the connection.
#[derive(PartialEq, Eq, Default)]
enum Connected {
    #[default]
    Never,
    Yes,
    No,
}

/// What follows from an attempt that failed.
pub(crate) struct Failed {
    /// How long to wait before the next.
    pub(crate) wait: Duration,
    /// The warning to log, if the reason is new.
    pub(crate) tell: Option<String>,
}

impl Attempts {
    /// A stream is open. Returns what to log, if that is new.
    pub(crate) fn connected(&mut self) -> Option<&'static str> {
        match std::mem::replace(&mut self.connected, Connected::Yes) {
            Connected::Never => Some("connected to the controller"),
            Connected::No => Some("connected to the controller again"),
            Connected::Yes => None,
        }
    }

    /// A stream was open for so long. One that outlived the longest wait did work; others, such as
    /// those of a controller that ends each at once, count as attempts that failed.
    pub(crate) fn was_open(&mut self, backoff: &Backoff, open: Duration) {
        if open > backoff.longest {
            (self.failures, self.refusals, self.silences) = (0, 0, 0);
            self.told = None;
        }
    }

    /// How long to wait for the next connection, and for the response that opens the stream.
    pub(crate) fn patience(&self) -> Duration {
        PATIENCE * (1 << self.silences.min(PATIENCE_DOUBLINGS_MAX))
    }

    /// An attempt failed, or a stream was lost, at `now`; `random` chooses the jitter.
    pub(crate) fn failed(
        &mut self,
        backoff: &Backoff,
        loss: &Loss,
        now: Instant,
        random: u64,
    ) -> Failed {
        if matches!(loss, Loss::Silent) {
            self.silences = self.silences.saturating_add(1);
        }
        let (what, wait) = match loss.kind() {
            LossKind::Gone => {
                let wait = backoff.wait(self.failures, random);
                (self.failures, self.refusals) = (self.failures.saturating_add(1), 0);
                ("no controller", wait)
            }
            LossKind::Refused => ("the controller refuses us", self.refused(backoff, random)),
            LossKind::Mismatch => ("cannot speak to the controller", self.refused(backoff, random)),
        };
        let why = format!("{what}: {}", bounded(&loss.to_string()));
        let is_news = self.told.as_ref().is_none_or(|(told, at)| {
            *told != why || now.saturating_duration_since(*at) >= LOG_AGAIN_AFTER
        });
        if !is_news {
            self.suppressed += 1;
            return Failed { wait, tell: None };
        }
        self.connected = Connected::No;
        self.told = Some((why.clone(), now));
        let tell = match std::mem::take(&mut self.suppressed) {
            0 => why,
            suppressed => format!("{why} (after {suppressed} more attempts that failed)"),
        };
        Failed { wait, tell: Some(tell) }
    }
}

impl Attempts {
    /// The wait after one more refusal.
    fn refused(&mut self, backoff: &Backoff, random: u64) -> Duration {
        let wait = backoff.wait_refused(self.refusals, random);
        self.refusals = self.refusals.saturating_add(1);
        wait
    }
}

/// A reason as it may stand in a log line: cut, and on one line.
fn bounded(why: &str) -> String {
    let kept = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
    kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone() -> Loss {
        Loss::from(Status::unavailable("later"))
    }

    fn refused() -> Loss {
        Loss::from(Status::unauthenticated("no"))
    }

    #[test]
    fn a_refusal_waits_longer_each_time_and_a_loss_does_not() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        let mut attempts = Attempts::default();
        let mut wait = |loss: Loss| attempts.failed(&backoff, &loss, now, 0).wait;
        let waits: Vec<Duration> = (0..20).map(|_| wait(refused())).collect();
        assert_eq!((waits[0], waits[19]), (backoff.initial, backoff.longest_refused));
        assert_eq!(wait(gone()), backoff.initial);
        assert!((0..20).all(|_| wait(gone()) <= backoff.longest));
    }

    #[test]
    fn a_peer_that_takes_connections_and_answers_none_gets_more_time_until_a_stream_lasts() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        let mut attempts = Attempts::default();
        let mut patiences = Vec::new();
        for loss in [Loss::Silent, gone(), Loss::Silent, Loss::Silent, Loss::Silent, Loss::Silent] {
            patiences.push(attempts.patience().as_secs());
            attempts.failed(&backoff, &loss, now, 0);
        }
        assert_eq!(patiences, [3, 6, 6, 12, 24, 24]);
        // One that is lost at once was the last of what the peer could do.
        attempts.was_open(&backoff, Duration::from_millis(1));
        assert_eq!(attempts.patience().as_secs(), 24);
        attempts.was_open(&backoff, backoff.longest * 2);
        assert_eq!(attempts.patience(), PATIENCE);
    }

    #[test]
    fn a_change_is_logged_once_and_again_after_a_while() {
        let (backoff, start) = (Backoff::default(), Instant::now());
        let mut attempts = Attempts::default();
        let mut tell = |loss: Loss, after| attempts.failed(&backoff, &loss, start + after, 0).tell;
        let second = Duration::from_secs(1);
        assert_eq!(tell(gone(), second).as_deref(), Some("no controller: later (Unavailable)"));
        assert!((1..300).all(|seconds| tell(gone(), second * seconds).is_none()));
        let again = tell(gone(), second + LOG_AGAIN_AFTER).expect("the time is over");
        assert!(again.contains("after 299 more attempts"), "{again}");
        let other = tell(refused(), second * 302).expect("another reason");
        assert_eq!(other, "the controller refuses us: no (Unauthenticated)");
    }

    #[test]
    fn a_reconnection_is_logged_once_for_each_loss_that_was() {
        let (backoff, now) = (Backoff::default(), Instant::now());
        let mut attempts = Attempts::default();
        assert_eq!(attempts.connected(), Some("connected to the controller"));
        assert!(attempts.failed(&backoff, &gone(), now, 0).tell.is_some());
        assert_eq!(attempts.connected(), Some("connected to the controller again"));
        // It ends every stream at once: this is neither logged each time nor retried without a
        // wait.
        let mut wait = Duration::ZERO;
        for _ in 0..20 {
            attempts.was_open(&backoff, Duration::from_millis(1));
            let failed = attempts.failed(&backoff, &gone(), now, 0);
            assert!(failed.tell.is_none() && attempts.connected().is_none());
            wait = failed.wait;
        }
        assert_eq!(wait, backoff.longest);
        attempts.was_open(&backoff, Duration::from_secs(60));
        let failed = attempts.failed(&backoff, &gone(), now, 0);
        assert!(failed.tell.is_some() && failed.wait == backoff.initial);
    }

    #[test]
    fn what_failed_is_kept_as_the_source() {
        let closed = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let loss = Loss::from(ConnectError::from(closed));
        let source = std::error::Error::source(&loss).expect("it is kept");
        assert!(source.is::<std::io::Error>(), "{source:?}");
        let loss = refused();
        let source = std::error::Error::source(&loss).and_then(|source| source.downcast_ref());
        assert_eq!(source.map(Status::code), Some(Code::Unauthenticated));
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        assert_eq!(bounded("a\nb\x1b[2J"), "a b [2J");
        assert_eq!(bounded(&"é".repeat(1_000)).len(), REASON_BYTES_MAX);
    }
}
