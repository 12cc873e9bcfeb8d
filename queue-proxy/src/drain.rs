//! How the sidecar shuts down: after a quiet period, with a response to every request.
//!
//! [`Machine`] decides, with time as an argument; [`Draining`] is the part that the data path reads
//! and writes, two atomics; [`process`](crate::process) carries the decisions out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::settings;

/// The stage of the drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No drain.
    Serving,
    /// Probes fail, requests are still served, and each one restarts the quiet period.
    Quiet,
    /// No new connections; work in flight ends.
    Finishing,
    /// Nothing is left to do.
    Over,
}

/// Decides how the drain goes on. Time and the state of the data path are arguments.
#[derive(Debug, Clone)]
pub struct Machine {
    settings: settings::Drain,
    stage: Stage,
    began: Option<Instant>,
    signalled: bool,
}

/// The traffic of the data path now.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// When the last request arrived during this drain, if any.
    pub last_request: Option<Instant>,
    /// Requests inside, executing or waiting, upgraded connections included.
    pub in_flight: u32,
}

impl Machine {
    /// No drain yet.
    pub fn new(settings: settings::Drain) -> Self {
        Self { settings, stage: Stage::Serving, began: None, signalled: false }
    }

    /// The stage of the drain.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The process got a signal to end.
    pub fn signal(&mut self, now: Instant) {
        self.signalled = true;
        self.begin(now);
    }

    /// The platform waits for the drain (`/wait-for-drain`): it begins before the signal, and is
    /// undone if none follows.
    pub fn begin_before_signal(&mut self, now: Instant) {
        self.begin(now);
    }

    fn begin(&mut self, now: Instant) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Quiet;
            self.began = Some(now);
        }
    }

    /// Advances by one stage if time and traffic allow. Read the traffic again after each step: it
    /// changes with the stage.
    pub fn advance(&mut self, now: Instant, traffic: Traffic) -> Stage {
        if self.next_change(traffic).is_some_and(|change| now >= change) {
            self.stage = match self.stage {
                Stage::Quiet if self.signalled => Stage::Finishing,
                Stage::Quiet => {
                    self.began = None;
                    Stage::Serving
                }
                Stage::Finishing => Stage::Over,
                other => other,
            };
        }
        self.stage
    }

    /// When [`Machine::advance`] will change something unless the traffic does before.
    pub fn next_change(&self, traffic: Traffic) -> Option<Instant> {
        let began = self.began?;
        match self.stage {
            Stage::Serving | Stage::Over => None,
            Stage::Quiet if self.signalled => {
                let quiet_since = traffic.last_request.map_or(began, |last| last.max(began));
                Some(quiet_since + self.settings.quiet_period)
            }
            Stage::Quiet => Some(began + self.settings.reset),
            Stage::Finishing if traffic.in_flight == 0 => Some(began),
            Stage::Finishing => Some(began + self.settings.grace_period),
        }
    }
}

/// The data path's view of the drain. Cheap to clone; all clones are the same drain.
#[derive(Debug, Clone)]
pub struct Draining {
    shared: Arc<DrainProgress>,
}

#[derive(Debug)]
struct DrainProgress {
    started: Instant,
    draining: AtomicBool,
    /// Nanoseconds from `started` to the last request during the drain; 0 is none.
    last_request_ns: AtomicU64,
}

impl Draining {
    /// Not draining.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(DrainProgress {
                started: Instant::now(),
                draining: AtomicBool::new(false),
                last_request_ns: AtomicU64::new(0),
            }),
        }
    }

    /// Whether probes are to fail.
    pub fn is_on(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Switches the drain on or off.
    pub fn set(&self, draining: crate::environment::Switch) {
        self.shared.last_request_ns.store(0, Ordering::Relaxed);
        self.shared.draining.store(draining.is_on(), Ordering::Relaxed);
    }

    /// A request arrived. Outside of a drain this costs one load.
    pub fn touch(&self) {
        if self.is_on() {
            let elapsed = self.shared.started.elapsed().as_nanos();
            let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX).max(1);
            self.shared.last_request_ns.fetch_max(elapsed, Ordering::Relaxed);
        }
    }

    /// When the last request of this drain arrived.
    pub fn last_request(&self) -> Option<Instant> {
        match self.shared.last_request_ns.load(Ordering::Relaxed) {
            0 => None,
            elapsed => Some(self.shared.started + Duration::from_nanos(elapsed)),
        }
    }
}

impl Default for Draining {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: settings::Drain = settings::Drain {
        quiet_period: Duration::from_secs(30),
        grace_period: Duration::from_secs(300),
        reset: Duration::from_secs(1),
    };

    fn traffic(last_request: Option<Instant>, in_flight: u32) -> Traffic {
        Traffic { last_request, in_flight }
    }

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_sidecar_ends_after_the_quiet_period() {
        let start = Instant::now();
        let mut machine = Machine::new(SETTINGS);
        machine.signal(start);
        let idle = traffic(None, 0);
        assert_eq!(machine.advance(seconds(start, 29), idle), Stage::Quiet);
        assert_eq!(machine.next_change(idle), Some(seconds(start, 30)));
        assert_eq!(machine.advance(seconds(start, 30), idle), Stage::Finishing);
        assert_eq!(machine.advance(seconds(start, 30), idle), Stage::Over);
    }

    #[test]
    fn each_request_restarts_the_quiet_period() {
        let start = Instant::now();
        let mut machine = Machine::new(SETTINGS);
        machine.signal(start);
        let busy = traffic(Some(seconds(start, 10)), 1);
        assert_eq!(machine.advance(seconds(start, 39), busy), Stage::Quiet);
        assert_eq!(machine.advance(seconds(start, 40), busy), Stage::Finishing);
        assert_eq!(machine.advance(seconds(start, 44), busy), Stage::Finishing);
        let done = traffic(Some(seconds(start, 10)), 0);
        assert_eq!(machine.advance(seconds(start, 45), done), Stage::Over);
    }

    #[test]
    fn work_in_flight_has_the_grace_period_and_no_more() {
        let start = Instant::now();
        let mut machine = Machine::new(SETTINGS);
        machine.signal(start);
        let stuck = traffic(None, 3);
        assert_eq!(machine.advance(seconds(start, 30), stuck), Stage::Finishing);
        assert_eq!(machine.advance(seconds(start, 299), stuck), Stage::Finishing);
        assert_eq!(machine.advance(seconds(start, 300), stuck), Stage::Over);
    }

    #[test]
    fn a_drain_that_no_signal_confirms_is_undone() {
        let start = Instant::now();
        let mut machine = Machine::new(SETTINGS);
        machine.begin_before_signal(start);
        let idle = traffic(None, 0);
        assert_eq!(machine.next_change(idle), Some(seconds(start, 1)));
        assert_eq!(machine.advance(seconds(start, 1), idle), Stage::Serving);
        assert_eq!(machine.next_change(idle), None);
        // A later drain counts from its own begin.
        machine.signal(seconds(start, 100));
        assert_eq!(machine.advance(seconds(start, 129), idle), Stage::Quiet);
    }

    #[test]
    fn wait_for_drain_starts_the_quiet_period_early() {
        let start = Instant::now();
        let mut machine = Machine::new(SETTINGS);
        machine.begin_before_signal(start);
        machine.signal(start + Duration::from_millis(500));
        assert_eq!(machine.next_change(traffic(None, 0)), Some(seconds(start, 30)));
    }

    #[test]
    fn requests_are_noted_only_during_a_drain() {
        let draining = Draining::new();
        draining.touch();
        assert_eq!(draining.last_request(), None);
        draining.set(crate::environment::Switch::On);
        draining.touch();
        assert!(draining.last_request().is_some());
        draining.set(crate::environment::Switch::Off);
        assert_eq!(draining.last_request(), None);
    }
}
