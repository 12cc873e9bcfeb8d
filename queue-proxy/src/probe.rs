//! Whether the app is ready: on the platform's request through [`Prober::check`], and continuously
//! through [`watch`], which notifies of each change.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch::{Receiver, channel};
use tokio::time::{Instant, MissedTickBehavior};

mod dial;
pub mod failure;
mod grpc;
mod http;
mod location;
pub mod spec;
mod thresholds;
pub mod watch;

use failure::{Failure, ProbeFailure};
use spec::{Handler, Pace, ProbeSpec, ReadinessSpec};

/// Time between two aggressive attempts, as in Knative.
pub const AGGRESSIVE_PERIOD: Duration = Duration::from_millis(50);
/// Limit of one aggressive attempt, as in Knative.
pub const AGGRESSIVE_ATTEMPT: Duration = Duration::from_millis(100);
/// Limit of all aggressive attempts for one check, as in Knative.
pub const AGGRESSIVE_TOTAL: Duration = Duration::from_secs(10);
/// At most one line about failed probes in this time: a pod that never gets ready must not fill
/// the log.
const LOG_PERIOD: Duration = Duration::from_secs(1);

/// Whether the app may get traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeResult {
    /// It may.
    Ready,
    /// It may not.
    NotReady,
}

/// Whether the app may get traffic, as the watch found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It may.
    Ready,
    /// It may not: what was tried, how it failed and since when, as text for people. One line of at
    /// most [`failure::LONGEST_REASON`] bytes.
    NotReady(Arc<str>),
}

/// Checks whether the app is ready. Checks at the same time share one round of probes.
#[derive(Debug, Clone)]
pub struct Prober {
    shared: Arc<ProberState>,
}

#[derive(Debug)]
struct ProberState {
    probes: Vec<Probe>,
    /// The outcome of the round in progress, if any.
    running: Mutex<Option<Receiver<Option<ProbeResult>>>>,
    failure_log: FailureLog,
    /// When the app accepted a connection for the first time, as the watch found.
    listening_since: OnceLock<Instant>,
}

#[derive(Debug)]
struct Probe {
    spec: ProbeSpec,
    /// Passes in a row so far; it outlives one check, as in Knative.
    passes: AtomicU32,
}

impl Prober {
    /// A prober that has not tried anything yet.
    pub fn new(spec: ReadinessSpec) -> Self {
        let specs = match spec {
            ReadinessSpec::Always => Vec::new(),
            ReadinessSpec::All(specs) => specs,
        };
        let probes = specs.into_iter().map(|spec| Probe { spec, passes: AtomicU32::new(0) });
        Self {
            shared: Arc::new(ProberState {
                probes: probes.collect(),
                running: Mutex::new(None),
                failure_log: FailureLog::default(),
                listening_since: OnceLock::new(),
            }),
        }
    }

    /// Whether no probe is configured.
    pub fn is_always_ready(&self) -> bool {
        self.shared.probes.is_empty()
    }

    /// Runs a round of probes, or joins the one that runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop the round: other checks may wait for it, and its result
    /// counts.
    pub async fn check(&self) -> ProbeResult {
        if self.is_always_ready() {
            return ProbeResult::Ready;
        }
        let mut outcome = {
            let mut running = self.shared.running.lock();
            match &*running {
                Some(outcome) => outcome.clone(),
                None => {
                    let (sender, outcome) = channel(None);
                    *running = Some(outcome.clone());
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        let verdict = shared.round().await;
                        *shared.running.lock() = None;
                        sender.send_replace(Some(verdict));
                    });
                    outcome
                }
            }
        };
        // An error means that the runtime ends: no traffic follows.
        match outcome.wait_for(Option::is_some).await {
            Ok(verdict) => verdict.unwrap_or(ProbeResult::NotReady),
            Err(_) => ProbeResult::NotReady,
        }
    }

    /// When the app was first seen to accept a connection; `None` while it was not.
    pub fn listening_since(&self) -> Option<Instant> {
        self.shared.listening_since.get().copied()
    }

    fn probes(&self) -> &[Probe] {
        &self.shared.probes
    }

    fn failure_log(&self) -> &FailureLog {
        &self.shared.failure_log
    }
}

impl ProberState {
    /// Runs all probes at once; all must pass.
    async fn round(self: &Arc<Self>) -> ProbeResult {
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..self.probes.len() {
            let shared = Arc::clone(self);
            tasks.spawn(async move { shared.probes[index].check(&shared.failure_log).await });
        }
        while let Some(result) = tasks.join_next().await {
            if !matches!(result, Ok(ProbeResult::Ready)) {
                // The first failure decides; the rest is cancelled with the set.
                return ProbeResult::NotReady;
            }
        }
        ProbeResult::Ready
    }
}

impl Probe {
    async fn check(&self, failure_log: &FailureLog) -> ProbeResult {
        match self.spec.pace {
            Pace::Once(limit) => match attempt(&self.spec.handler, limit).await {
                Ok(()) => {
                    failure_log.forget();
                    ProbeResult::Ready
                }
                Err(failure) => {
                    failure_log.log(&failure.to_string());
                    ProbeResult::NotReady
                }
            },
            Pace::Aggressive => self.check_aggressively().await,
        }
    }

    async fn check_aggressively(&self) -> ProbeResult {
        let deadline = Instant::now() + AGGRESSIVE_TOTAL;
        let mut pace = tokio::time::interval(AGGRESSIVE_PERIOD);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0_u32;
        let mut last = None;
        loop {
            let tick = tokio::time::timeout_at(deadline, pace.tick()).await;
            if tick.is_err() || Instant::now() >= deadline {
                let last = last.map_or_else(String::new, |last: Failure| format!("{last}: "));
                tracing::error!(
                    "aggressive probe error (failed {failures} times): {last}\
                     context deadline exceeded"
                );
                return ProbeResult::NotReady;
            }
            match attempt(&self.spec.handler, AGGRESSIVE_ATTEMPT).await {
                Ok(()) => {
                    let passes = self.passes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    if passes >= self.spec.success_threshold {
                        // Held at the threshold, so that it cannot wrap round.
                        self.passes.store(self.spec.success_threshold, Ordering::Relaxed);
                        return ProbeResult::Ready;
                    }
                }
                Err(failure) => {
                    self.passes.store(0, Ordering::Relaxed);
                    failures += 1;
                    last = Some(failure);
                }
            }
        }
    }
}

/// Tries once.
async fn attempt(handler: &Handler, limit: Duration) -> Result<(), Failure> {
    let result = match handler {
        Handler::HttpGet(get) => http::probe(get, limit).await,
        Handler::TcpSocket { host, port } => {
            within(limit, dial::connect(host, *port)).await.map(drop)
        }
        Handler::Grpc { port, service } => within(limit, grpc::probe(*port, service)).await,
        Handler::Exec => Err(ProbeFailure::Exec),
        Handler::Nothing => Err(ProbeFailure::Nothing),
    };
    result.map_err(|cause| {
        let cause = match (cause, handler.looking_up()) {
            (ProbeFailure::TimedOut(_), Some(pending)) => ProbeFailure::LookingUp(pending),
            (cause, _) => cause,
        };
        Failure { tried: handler.to_string(), cause }
    })
}

/// Bounds one attempt in time.
async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T, ProbeFailure>>,
) -> Result<T, ProbeFailure> {
    tokio::time::timeout(limit, attempt).await.unwrap_or(Err(ProbeFailure::TimedOut(limit)))
}

/// Logs failed probes: each reason when it comes up, and one line a second at most.
#[derive(Debug, Default)]
struct FailureLog {
    last: Mutex<Option<LoggedFailure>>,
    suppressed: AtomicU64,
}

#[derive(Debug)]
struct LoggedFailure {
    at: Instant,
    reason: String,
}

impl FailureLog {
    /// Logs the reason, unless it is the one that was logged last or the second is not over.
    fn log(&self, reason: &str) {
        let now = Instant::now();
        let mut last = self.last.lock();
        let is_old =
            last.as_ref().is_some_and(|last| last.reason == reason || now - last.at < LOG_PERIOD);
        if is_old {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        *last = Some(LoggedFailure { at: now, reason: reason.to_owned() });
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        tracing::warn!(suppressed, "readiness probe failed: {reason}");
    }

    /// The app is ready: the next failure is logged, whatever its reason.
    fn forget(&self) {
        if let Some(last) = &mut *self.last.lock() {
            last.reason.clear();
        }
    }
}

#[cfg(test)]
mod tests;
