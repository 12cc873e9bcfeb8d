//! Probes the app by itself, so that a change of readiness is known at once and not when the
//! platform probes next.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::failure::{Failure, bounded};
use super::spec::Pace;
use super::thresholds::{Outcome, Thresholds};
use super::{AGGRESSIVE_ATTEMPT, Prober, Readiness, attempt};

/// An app that is not ready yet is not logged for this long: most start within it.
const QUIET_START: Duration = Duration::from_secs(2);

/// Watches until the receivers are gone. `poll` is the time between attempts while not ready.
///
/// Each probe keeps its own time and its own count, as the kubelet's do; all must pass. While the
/// app is not ready, the channel holds the latest reason; it notifies of changes of readiness, not
/// of the reason.
///
/// # Cancel safety
///
/// May be dropped at any time; attempts under way are given up.
pub async fn run(prober: Prober, poll: Duration, sender: Sender<Readiness>) {
    if prober.is_always_ready() {
        sender.send_replace(Readiness::Ready);
        return;
    }
    let now = Instant::now();
    let specs = prober.probes().iter().map(|probe| &probe.spec);
    let mut watch = Watch {
        thresholds: specs.map(|spec| Thresholds::new(spec, poll, now)).collect(),
        reasons: vec![None; prober.probes().len()],
        not_ready_since: Since::now(),
        prober,
        sender,
    };
    let mut attempts = JoinSet::new();
    for index in 0..watch.thresholds.len() {
        watch.schedule(&mut attempts, index);
    }
    loop {
        let attempt = tokio::select! {
            () = watch.sender.closed() => return,
            attempt = attempts.join_next() => attempt,
        };
        // An attempt that could not be carried out ends the watch: its last result is no longer
        // true.
        let Some(Ok((index, result))) = attempt else { return };
        watch.note(index, result);
        watch.schedule(&mut attempts, index);
    }
}

/// The state of all probes.
struct Watch {
    prober: Prober,
    thresholds: Vec<Thresholds>,
    /// The latest failure of each probe, as text.
    reasons: Vec<Option<String>>,
    not_ready_since: Since,
    sender: Sender<Readiness>,
}

/// A point in time on both clocks: one to count with, one to show.
#[derive(Debug, Clone, Copy)]
struct Since {
    instant: Instant,
    shown: SystemTime,
}

impl Since {
    fn now() -> Self {
        Self { instant: Instant::now(), shown: SystemTime::now() }
    }
}

type Attempts = JoinSet<(usize, Result<(), Failure>)>;

impl Watch {
    /// Tries a probe when it is due.
    fn schedule(&self, attempts: &mut Attempts, index: usize) {
        let (prober, due) = (self.prober.clone(), self.thresholds[index].due());
        attempts.spawn(async move {
            tokio::time::sleep_until(due).await;
            let spec = &prober.probes()[index].spec;
            let limit = match spec.pace {
                Pace::Aggressive => AGGRESSIVE_ATTEMPT,
                Pace::Once(limit) => limit,
            };
            (index, attempt(&spec.handler, limit).await)
        });
    }

    fn note(&mut self, index: usize, result: Result<(), Failure>) {
        if result.as_ref().map_or_else(|failure| failure.cause.reached_app(), |()| true) {
            self.prober.shared.listening_since.get_or_init(Instant::now);
        }
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(failure) => {
                self.reasons[index] = Some(failure.to_string());
                Outcome::Failed
            }
        };
        self.thresholds[index].note(outcome, Instant::now());
        let was_ready = *self.sender.borrow() == Readiness::Ready;
        let blocking = self.thresholds.iter().position(|threshold| !threshold.is_ready());
        let Some(blocking) = blocking else {
            if !was_ready {
                tracing::info!("the app is ready");
                self.prober.failure_log().forget();
                self.sender.send_replace(Readiness::Ready);
            }
            return;
        };
        if was_ready {
            self.not_ready_since = Since::now();
        }
        let why = self.reasons[blocking].as_deref().unwrap_or("it has not passed often enough");
        let since = humantime::format_rfc3339_seconds(self.not_ready_since.shown);
        let reason: Arc<str> = bounded(format!("{why}; since {since}")).into();
        if was_ready {
            tracing::warn!("the app is not ready: {reason}");
            self.sender.send_replace(Readiness::NotReady(reason));
            return;
        }
        if self.not_ready_since.instant.elapsed() >= QUIET_START {
            self.prober.failure_log().log(why);
        }
        // The next reader sees the latest reason; no receiver is woken for it.
        self.sender.send_if_modified(|readiness| {
            *readiness = Readiness::NotReady(reason);
            false
        });
    }
}
