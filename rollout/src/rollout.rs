//! The state of a rollout, and what changes it.

use crate::comparison::Counts;
use crate::explain::Reason;
use crate::health::Health;
use crate::outcomes::Outcomes;
use crate::strategy::Settings;
use crate::weight::{Split, Weight};

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// On its way, or waiting to know enough.
    Progressing,
    /// Stopped where it is by a person. A revision that fails is still returned.
    Paused,
    /// All of the traffic goes to the new revision.
    Promoted,
    /// Back with the stable revision, because the new one was worse.
    Returned,
    /// Back with the stable revision, because a person said so.
    Aborted,
}

impl Phase {
    /// Whether it goes on, or can be made to without beginning anew.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Progressing | Self::Paused)
    }
}

/// What a person wants of a rollout. Each says how it is to be, so giving it twice changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Go on. What has ended stays as it is.
    Run,
    /// Stay where it is.
    Pause,
    /// Send everything to the new revision at once, whatever is known of it.
    Promote,
    /// Send everything to the stable revision at once, also after everything had gone to the new
    /// one.
    Abort,
}

/// A change, and its reason.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "whoever divides the traffic has to follow it"]
pub struct Change {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How the traffic was divided.
    pub from: Split,
    /// How it is to be divided from now on.
    pub to: Split,
    /// Where the rollout is from now on.
    pub phase: Phase,
    /// Why.
    pub reason: Reason,
}

/// What must be kept for a rollout to go on after a restart. Its step begins anew then, and what
/// was known of the new revision's health is gathered anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Where it was.
    pub phase: Phase,
    /// What the new revision got.
    pub weight: Weight,
}

/// A rollout.
#[derive(Debug, Clone)]
pub struct Rollout {
    settings: Settings,
    phase: Phase,
    split: Split,
    step: usize,
    /// Time at this step, without pauses.
    held_ms: u64,
    /// Until when time has been counted.
    now_ms: i64,
    /// Requests that ended at this step.
    at_step: Counts,
    /// Requests of the new revision in all.
    judged: u64,
    health: Health,
    seen: Option<Seen>,
}

/// What was last told of both revisions.
#[derive(Debug, Clone)]
struct Seen {
    at_ms: i64,
    stable: Outcomes,
    new: Outcomes,
}

impl Rollout {
    /// Begins with the first step.
    pub fn begin(settings: Settings, now_ms: i64) -> (Self, Change) {
        let weight = settings.strategy.weight_at(0);
        let whole = weight == Weight::WHOLE;
        let phase = if whole { Phase::Promoted } else { Phase::Progressing };
        let rollout = Self::at(settings, Checkpoint { phase, weight }, now_ms);
        let change = Change {
            at_ms: now_ms,
            from: Split::with_new(Weight::ZERO),
            to: rollout.split,
            phase: rollout.phase,
            reason: Reason::Began,
        };
        (rollout, change)
    }

    /// Goes on where one was of which only this is known.
    #[must_use]
    pub fn resume(settings: Settings, checkpoint: Checkpoint, now_ms: i64) -> Self {
        // What has ended says by itself what it has ended with.
        let weight = match checkpoint.phase {
            Phase::Progressing | Phase::Paused => checkpoint.weight,
            Phase::Promoted => Weight::WHOLE,
            Phase::Returned | Phase::Aborted => Weight::ZERO,
        };
        Self::at(settings, Checkpoint { weight, ..checkpoint }, now_ms)
    }

    fn at(settings: Settings, checkpoint: Checkpoint, now_ms: i64) -> Self {
        Self {
            step: settings.strategy.step_of(checkpoint.weight),
            settings,
            phase: checkpoint.phase,
            split: Split::with_new(checkpoint.weight),
            held_ms: 0,
            now_ms,
            at_step: Counts::default(),
            judged: 0,
            health: Health::default(),
            seen: None,
        }
    }

    /// How the traffic is to be divided now.
    #[must_use]
    pub fn split(&self) -> Split {
        self.split
    }

    /// Where it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The step that it is at, from 0.
    #[must_use]
    pub fn step(&self) -> usize {
        self.step
    }

    /// Requests of both revisions that ended at this step, and those of them that failed.
    #[must_use]
    pub fn at_step(&self) -> &Counts {
        &self.at_step
    }

    /// What must be kept for it to go on after a restart.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { phase: self.phase, weight: self.split.new_revision() }
    }

    /// Follows other settings from now on. What goes to the new revision stays as it is until the
    /// next step.
    pub fn follow(&mut self, settings: Settings) {
        if settings != self.settings {
            self.step = settings.strategy.step_of(self.split.new_revision());
            self.settings = settings;
        }
    }

    /// Takes in what became of all requests of both revisions so far. Whoever counts may begin anew
    /// at any time.
    #[must_use]
    pub fn observe(&mut self, now_ms: i64, stable: &Outcomes, new: &Outcomes) -> Option<Change> {
        let seen = Seen { at_ms: now_ms, stable: stable.clone(), new: new.clone() };
        let before = self.seen.replace(seen);
        if self.phase.is_open()
            && let Some(before) = before
            && let Some(stable) = stable.since(&before.stable)
            && let Some(new) = new.since(&before.new)
        {
            self.at_step.add(&Counts {
                stable_requests: stable.finished(),
                stable_events: stable.failed(),
                new_requests: new.finished(),
                new_events: new.failed(),
            });
            self.judged = self.judged.saturating_add(new.finished());
            self.health.observe(before.at_ms, &self.settings.gate, &stable, &new);
            if let Some(finding) = self.health.finding(now_ms, &self.settings.gate) {
                return Some(self.end(now_ms, Phase::Returned, Reason::Worse(finding)));
            }
        }
        self.tick(now_ms)
    }

    /// Time has passed.
    #[must_use]
    pub fn tick(&mut self, now_ms: i64) -> Option<Change> {
        let passed_ms = now_ms.saturating_sub(self.now_ms);
        self.now_ms = self.now_ms.max(now_ms);
        if self.phase != Phase::Progressing {
            return None;
        }
        self.held_ms = self.held_ms.saturating_add(u64::try_from(passed_ms).unwrap_or(0));
        if self.held_ms < self.hold_ms() || self.requests_missing() > 0 {
            return None;
        }
        let (held_ms, counts) = (self.held_ms, self.at_step);
        let next = self.next_step();
        let weight = self.settings.strategy.weight_at(next);
        let reason = Reason::Held { held_ms, counts };
        if weight == Weight::WHOLE {
            return Some(self.end(now_ms, Phase::Promoted, reason));
        }
        let from = self.split;
        (self.step, self.split) = (next, Split::with_new(weight));
        (self.held_ms, self.at_step) = (0, Counts::default());
        Some(Change { at_ms: now_ms, from, to: self.split, phase: self.phase, reason })
    }

    /// Time has passed in which nothing could go on: it counts for nothing.
    pub fn stand_still(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// The next step that gives the new revision more than it has: other settings may have come.
    fn next_step(&self) -> usize {
        let now = self.split.new_revision();
        let mut next = self.step.saturating_add(1);
        while self.settings.strategy.weight_at(next) <= now && now < Weight::WHOLE {
            next = next.saturating_add(1);
        }
        next
    }

    /// Follows what a person wants.
    #[must_use]
    pub fn order(&mut self, now_ms: i64, order: Order) -> Option<Change> {
        let phase = match (order, self.phase) {
            (Order::Run, Phase::Paused) => Phase::Progressing,
            (Order::Pause, Phase::Progressing) => Phase::Paused,
            (Order::Promote, phase) if phase != Phase::Promoted => {
                return Some(self.end(now_ms, Phase::Promoted, Reason::Ordered(order)));
            }
            (Order::Abort, phase) if phase != Phase::Aborted => {
                return Some(self.end(now_ms, Phase::Aborted, Reason::Ordered(order)));
            }
            _ => return None,
        };
        // A pause counts for nothing.
        self.stand_still(now_ms);
        self.phase = phase;
        let (from, to, reason) = (self.split, self.split, Reason::Ordered(order));
        Some(Change { at_ms: now_ms, from, to, phase, reason })
    }

    fn end(&mut self, now_ms: i64, phase: Phase, reason: Reason) -> Change {
        let from = self.split;
        let whole = if phase == Phase::Promoted { Weight::WHOLE } else { Weight::ZERO };
        (self.phase, self.split) = (phase, Split::with_new(whole));
        Change { at_ms: now_ms, from, to: self.split, phase, reason }
    }

    /// When time alone may change something, if it is on its way and knows enough.
    #[must_use]
    pub fn due_ms(&self) -> Option<i64> {
        let is_waiting = self.phase == Phase::Progressing && self.requests_missing() == 0;
        let left_ms = self.hold_ms().saturating_sub(self.held_ms);
        is_waiting.then(|| self.now_ms.saturating_add_unsigned(left_ms))
    }

    /// How long it is at this step in all, in milliseconds.
    #[must_use]
    pub fn hold_ms(&self) -> u64 {
        self.settings.strategy.hold_ms(self.step)
    }

    /// How long it has been at this step, without pauses, in milliseconds.
    #[must_use]
    pub fn held_ms(&self) -> u64 {
        self.held_ms
    }

    /// Requests of the new revision that must still end before it gets more.
    #[must_use]
    pub fn requests_missing(&self) -> u64 {
        let counted = match self.settings.strategy.is_judged_by_step() {
            true => self.at_step.new_requests,
            false => self.judged,
        };
        self.settings.gate.requests_min.saturating_sub(counted)
    }
}
