//! Our own look at the app's readiness, so that a change is known at once and not when the
//! platform happens to ask.

use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::time::Instant;

use super::spec::Pace;
use super::{AGGRESSIVE_ATTEMPT, Prober, Verdict, attempt};

/// Time after which an app that is still not ready is looked at less often. Most apps start within
/// seconds; one that does not must not cost a percent of a core for ever.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks once patience has run out.
const PATIENT_POLL: Duration = Duration::from_millis(50);

/// Watches until the receivers are gone. `poll` is the time between looks while not ready; once
/// ready, each probe's own period is.
///
/// # Cancel safety
///
/// May be dropped at any time.
pub async fn run(prober: Prober, poll: Duration, tell: Sender<Verdict>) {
    if prober.is_always_ready() {
        tell.send_replace(Verdict::Ready);
        return;
    }
    let period = prober.probes().iter().map(|probe| probe.spec.period).min();
    let period = period.unwrap_or(Duration::from_secs(1));
    let threshold = prober.probes().iter().map(|probe| probe.spec.failure_threshold).min();
    let threshold = threshold.unwrap_or(1);
    let mut not_ready_since = Instant::now();
    let mut failures = 0_u32;
    while !tell.is_closed() {
        let passed = all_pass(&prober).await;
        let before = *tell.borrow();
        let now = match (before, passed) {
            (_, true) => {
                failures = 0;
                Verdict::Ready
            }
            (Verdict::Ready, false) => {
                failures += 1;
                if failures >= threshold { Verdict::NotReady } else { Verdict::Ready }
            }
            (Verdict::NotReady, false) => Verdict::NotReady,
        };
        if now != before {
            tracing::info!(
                "the app is {}",
                if now == Verdict::Ready { "ready" } else { "not ready" }
            );
            tell.send_replace(now);
            not_ready_since = Instant::now();
        }
        let pause = match now {
            // A failure of a ready app is looked into at once rather than a period later.
            Verdict::Ready if failures > 0 => poll.max(AGGRESSIVE_ATTEMPT),
            Verdict::Ready => period,
            Verdict::NotReady if not_ready_since.elapsed() > PATIENCE => poll.max(PATIENT_POLL),
            Verdict::NotReady => poll,
        };
        tokio::time::sleep(pause).await;
    }
}

async fn all_pass(prober: &Prober) -> bool {
    for probe in prober.probes() {
        let limit = match probe.spec.pace {
            Pace::Aggressive => AGGRESSIVE_ATTEMPT,
            Pace::Once(limit) => limit,
        };
        if attempt(&probe.spec.handler, limit).await.is_err() {
            return false;
        }
    }
    true
}
