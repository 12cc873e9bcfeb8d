//! When a probe is due and what its results amount to, counted as the kubelet counts them.
//!
//! Pure: time comes in as an argument. A result changes the standing once it has come as many
//! times in a row as its threshold says; a single other result restarts the count.

use std::time::Duration;

use tokio::time::Instant;

use super::AGGRESSIVE_PERIOD;
use super::spec::{Pace, ProbeSpec};

/// Time after which an app that is still not ready is probed less often. Most apps start within
/// seconds; one that does not must not cost a percent of a core for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two probes after that.
pub(super) const PATIENT_POLL: Duration = Duration::from_millis(50);

/// Whether an attempt passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
}

/// How one probe stands.
#[derive(Debug)]
pub(super) struct Thresholds {
    success_threshold: u32,
    failure_threshold: u32,
    /// Time between two probes of a ready app.
    period: Duration,
    /// Time between the passes that make an app ready.
    between_passes: Duration,
    /// Time between two probes of an app that is not ready.
    poll: Duration,
    /// Since when the probe stands as it does.
    since: Instant,
    /// The next attempt is not before this.
    due: Instant,
    ready: bool,
    last: Option<Outcome>,
    /// How many times in a row the last outcome has come.
    run: u32,
}

impl Thresholds {
    /// A probe that has not been tried. `poll` replaces the kubelet's period while the app is not
    /// ready, so that a start is noticed at once.
    pub(super) fn new(spec: &ProbeSpec, poll: Duration, now: Instant) -> Self {
        Self {
            success_threshold: spec.success_threshold,
            failure_threshold: spec.failure_threshold,
            period: spec.period,
            between_passes: match spec.pace {
                Pace::Aggressive => AGGRESSIVE_PERIOD,
                Pace::Once(_) => spec.period,
            },
            poll,
            since: now,
            due: now + spec.initial_delay,
            ready: false,
            last: None,
            run: 0,
        }
    }

    /// When to try next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether the probe counts as passed.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Takes the outcome of an attempt that ended at `now`.
    pub(super) fn note(&mut self, outcome: Outcome, now: Instant) {
        self.run = if self.last == Some(outcome) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(outcome);
        let ready = match outcome {
            Outcome::Passed => self.ready || self.run >= self.success_threshold,
            Outcome::Failed => self.ready && self.run < self.failure_threshold,
        };
        if ready != self.ready {
            self.ready = ready;
            self.since = now;
        }
        self.due = now + self.pause(outcome, now);
    }

    fn pause(&self, outcome: Outcome, now: Instant) -> Duration {
        match outcome {
            _ if self.ready => self.period,
            // Some passes of several: they are to be apart, or they would prove nothing.
            Outcome::Passed => self.between_passes,
            Outcome::Failed if now.duration_since(self.since) > PATIENCE => {
                self.poll.max(PATIENT_POLL)
            }
            Outcome::Failed => self.poll,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{ReadinessSpec, Reading, parse};
    use super::Outcome::{Failed, Passed};
    use super::*;

    const POLL: Duration = Duration::from_millis(3);

    fn standing(json: &str, now: Instant) -> Thresholds {
        match parse(json, Reading::default()).unwrap() {
            ReadinessSpec::All(probes) => Thresholds::new(&probes[0], POLL, now),
            ReadinessSpec::Always => panic!("expected a probe"),
        }
    }

    /// Gives the outcomes one after another, each when it is due; returns what each led to.
    fn after(standing: &mut Thresholds, outcomes: &[Outcome]) -> Vec<bool> {
        let take = |outcome: &Outcome| {
            let now = standing.due();
            standing.note(*outcome, now);
            standing.is_ready()
        };
        outcomes.iter().map(take).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn thresholds_count_results_in_a_row() {
        let probe = r#"{"tcpSocket":{"port":1},"periodSeconds":5,"successThreshold":2,
            "failureThreshold":3}"#;
        let mut standing = standing(probe, Instant::now());
        let seen = after(&mut standing, &[Failed, Passed, Failed, Passed, Passed]);
        assert_eq!(seen, [false, false, false, false, true]);
        let seen = after(&mut standing, &[Failed, Failed, Passed, Failed, Failed, Failed]);
        assert_eq!(seen, [true, true, true, true, true, false]);
        // Not ready again: two passes in a row are needed again.
        assert_eq!(after(&mut standing, &[Passed, Passed]), [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn defaults_are_the_kubelets() {
        for probe in [
            r#"{"tcpSocket":{"port":1},"periodSeconds":1}"#,
            r#"{"tcpSocket":{"port":1},"periodSeconds":1,"successThreshold":0,
                "failureThreshold":0,"timeoutSeconds":0,"initialDelaySeconds":0}"#,
        ] {
            let mut standing = standing(probe, Instant::now());
            let seen = after(&mut standing, &[Passed, Failed, Failed, Failed]);
            assert_eq!(seen, [true, true, true, false], "{probe}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_follow_the_probes_delay_and_period() {
        let now = Instant::now();
        let probe = r#"{"tcpSocket":{"port":1},"periodSeconds":7,"successThreshold":2,
            "initialDelaySeconds":5}"#;
        let mut standing = standing(probe, now);
        let delay = Duration::from_secs(5);
        assert_eq!(standing.due(), now + delay);
        let begun = now + delay;
        standing.note(Failed, begun);
        assert_eq!(standing.due(), begun + POLL, "a start is looked for at once");
        standing.note(Passed, begun);
        assert_eq!(standing.due(), begun + Duration::from_secs(7), "passes are a period apart");
        standing.note(Passed, begun);
        assert_eq!(standing.due(), begun + Duration::from_secs(7));
        standing.note(Failed, begun);
        assert!(standing.is_ready());
        assert_eq!(standing.due(), begun + Duration::from_secs(7), "failures are as well");
        let late = begun + PATIENCE * 2;
        standing.note(Failed, late);
        standing.note(Failed, late);
        assert!(!standing.is_ready());
        assert_eq!(standing.due(), late + POLL, "patience begins anew");
        standing.note(Failed, late + PATIENCE * 2);
        assert_eq!(standing.due(), late + PATIENCE * 2 + PATIENT_POLL);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_period_passes_follow_at_the_aggressive_pace() {
        let now = Instant::now();
        let mut standing = standing(r#"{"tcpSocket":{"port":1},"successThreshold":3}"#, now);
        standing.note(Passed, now);
        assert_eq!(standing.due(), now + AGGRESSIVE_PERIOD);
        assert_eq!(after(&mut standing, &[Passed, Passed]), [false, true]);
        let ready = standing.due();
        standing.note(Passed, ready);
        assert_eq!(standing.due(), ready + Duration::from_secs(1));
    }
}
