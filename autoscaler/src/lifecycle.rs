//! From decisions to replicas: bounds, initial scale, scale to zero, the activator in the path.
//!
//! The rule ([`crate::decide`]) says how many instances the load needs. It knows nothing of
//! bounds, of revisions that never became ready, or of the care it takes to remove the last
//! instance: the activator must be in the path first, or requests would hit a void. All that is
//! here, as a pure state machine: [`Lifecycle::reconcile`] takes the time, the decision and what
//! is seen of the world, and returns a [`Step`] for the caller to carry out, with its reason.
//!
//! In reading order: `spec` (what the rules are), `observation` (what is seen), `step` (what to
//! do and why), `scale_to_zero` (how the last instance is removed).
//!
//! ```
//! use tidegate_autoscaler::lifecycle::{
//!     ActivatorProbe, DEFAULT_PROGRESS_DEADLINE, Lifecycle, LifecycleSpec, Observation,
//!     ServerlessService,
//! };
//! use tidegate_autoscaler::{Outlook, Timestamp};
//! use tidegate_autoscaler::settings::{Config, Overrides, Reachability, Resolved, Workload};
//!
//! let config = Config { max_scale: 3, ..Config::default() };
//! let resolved = Resolved::new(&config, &Overrides::default(), Workload::default());
//! let reachability = Reachability::Reachable;
//! let spec = LifecycleSpec::new(&config, &resolved, reachability, DEFAULT_PROGRESS_DEADLINE);
//! let seen = Observation {
//!     decided: 8,
//!     excess_burst_capacity: -11,
//!     outlook: Outlook::Open,
//!     ready: 1,
//!     plumbing: ServerlessService::Present { activator_since: None },
//!     probe: ActivatorProbe::NotAsked,
//! };
//! let step = Lifecycle::new(1).reconcile(Timestamp::from_secs(0), &spec, &seen);
//! assert_eq!(step.patch, Some(3));
//! assert_eq!(step.rule.to_string(), "lowered to the maximum scale of 3");
//! ```

mod observation;
mod scale_to_zero;
mod spec;
mod step;

pub use observation::{ActivatorProbe, Observation, ServerlessService};
pub use spec::{DEFAULT_PROGRESS_DEADLINE, LifecycleSpec, ZeroScale};
pub use step::{
    ActiveCondition, ActiveReason, ActiveStatus, ProbeUse, Step, StepRule, TrafficMode,
};

use crate::settings::ScaleBounds;
use crate::spec::MIN_ACTIVATORS;
use crate::time::Timestamp;
use scale_to_zero::{InPath, ZeroOutcome};

/// The recommendation of -1: nothing has been decided yet.
pub const UNDECIDED: i32 = -1;

/// The memory of one revision's lifecycle.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lifecycle {
    replicas: i32,
    active: Option<ActiveCondition>,
    initialized: bool,
    mode: TrafficMode,
    desired: i32,
    actual: i32,
    plumbed_once: bool,
}

impl Lifecycle {
    /// A revision that was created with `replicas` instances asked for.
    pub fn new(replicas: i32) -> Self {
        Self {
            replicas,
            active: None,
            initialized: false,
            mode: TrafficMode::Proxy,
            desired: UNDECIDED,
            actual: 0,
            plumbed_once: false,
        }
    }

    /// A revision whose controller was restarted, as that left it: `replicas` are asked for, of
    /// which it `desired` as many by its last decision, [`UNDECIDED`] if it made none.
    pub fn resumed(replicas: i32, desired: i32, remembered: Remembered) -> Self {
        let Remembered { active, initialization, mode } = remembered;
        let initialized = initialization == Initialization::Done;
        Self { active, initialized, mode, desired, plumbed_once: true, ..Self::new(replicas) }
    }

    /// Instances asked for at present.
    pub fn replicas(&self) -> i32 {
        self.replicas
    }

    /// Whether the revision is serving, as of the last step; unknown before the first.
    pub fn active(&self) -> Option<ActiveCondition> {
        self.active
    }

    /// Whether the revision has once had all the instances it was to start with.
    pub fn is_initialized(&self) -> bool {
        self.initialized
    }

    /// Whether the revision was ever connected to the traffic, so that it can be asked for
    /// reports.
    pub fn was_plumbed(&self) -> bool {
        self.plumbed_once
    }

    /// Notes a number of replicas that was set from outside.
    pub fn set_replicas(&mut self, replicas: i32) {
        self.replicas = replicas;
    }

    /// Takes one step. Times must not decrease from call to call; if they do, ages count as
    /// negative and nothing is removed early.
    pub fn reconcile(
        &mut self,
        now: Timestamp,
        spec: &LifecycleSpec,
        observation: &Observation,
    ) -> Step {
        let step = self.step(now, spec, observation);
        let always = observation.plumbing == ServerlessService::ThroughActivator;
        if step.rule == StepRule::BecameIdle && always {
            // That step only puts the activator into the path; the next one is already due.
            return self.step(now, spec, observation);
        }
        step
    }

    fn step(&mut self, now: Timestamp, spec: &LifecycleSpec, observation: &Observation) -> Step {
        let active = *self.active.get_or_insert(ActiveCondition::starting(now));
        let activator = match observation.plumbing {
            ServerlessService::Present { activator_since } => InPath::Since(activator_since),
            ServerlessService::ThroughActivator => InPath::Always,
            ServerlessService::Missing => {
                self.mode = TrafficMode::Proxy;
                let proposal = Proposal::held(UNDECIDED, StepRule::Unplumbed);
                return self.conclude(now, spec, 0, MIN_ACTIVATORS, proposal);
            }
        };
        let proposal = self.proposal(now, spec, observation, active, activator);
        let mut patch = None;
        if proposal.applies && proposal.want != self.replicas {
            self.replicas = proposal.want;
            patch = Some(proposal.want);
        }
        let serves = proposal.want > 0 && observation.excess_burst_capacity >= 0;
        self.mode = if serves { TrafficMode::Serve } else { TrafficMode::Proxy };
        self.plumbed_once = true;
        let activators = spec.decision.activators(observation.ready);
        let ready = i32::try_from(observation.ready).unwrap_or(i32::MAX);
        let mut step = self.conclude(now, spec, ready, activators, proposal);
        step.patch = patch;
        step.decided = observation.decided;
        step
    }

    /// What to ask for, and whether to act on it.
    fn proposal(
        &self,
        now: Timestamp,
        spec: &LifecycleSpec,
        observation: &Observation,
        active: ActiveCondition,
        activator: InPath,
    ) -> Proposal {
        let decided = observation.decided;
        if decided < 0 && active.status != ActiveStatus::Unknown {
            return Proposal::held(decided, StepRule::Undecided);
        }
        let bounds = self.bounds_now(spec);
        let want = bounds.apply(decided).max(0);
        if want == 0 {
            let idle = scale_to_zero::Idle {
                now,
                active,
                mode: self.mode,
                activator,
                outlook: observation.outlook,
            };
            let mut proposal =
                Proposal::from_zero(scale_to_zero::decide(spec, &idle, observation.probe));
            if decided < 0 && matches!(proposal.rule, StepRule::Activating { .. }) {
                // Zero was not decided: nothing has been decided yet.
                proposal.rule = StepRule::Undecided;
            }
            return proposal;
        }
        let rule = if want == decided {
            StepRule::Followed
        } else if decided < 0 && !self.initialized {
            StepRule::StartsWith { replicas: want }
        } else if want > decided && bounds.min == spec.bounds.min {
            StepRule::RaisedToMin { min: bounds.min }
        } else if want > decided {
            StepRule::RaisedToInitial { initial: bounds.min }
        } else {
            StepRule::LoweredToMax { max: bounds.max }
        };
        Proposal { want, applies: true, rule, recheck_ms: None, probe: ProbeUse::NotNeeded }
    }

    /// Until a revision has been whole once, its initial scale is its lower bound.
    fn bounds_now(&self, spec: &LifecycleSpec) -> ScaleBounds {
        let starting = spec.initial_scale > 1 && !self.initialized && spec.is_reachable();
        let min = if starting { spec.bounds.min.max(spec.initial_scale) } else { spec.bounds.min };
        ScaleBounds { min, max: spec.bounds.max }
    }

    /// Settles the condition and the reported numbers.
    fn conclude(
        &mut self,
        now: Timestamp,
        spec: &LifecycleSpec,
        ready: i32,
        activators: i32,
        proposal: Proposal,
    ) -> Step {
        let least = if self.initialized { 1 } else { spec.initial_scale };
        let threshold = spec.bounds.min.max(least);
        self.actual = ready;
        if proposal.want != UNDECIDED || self.desired < 0 {
            self.desired = proposal.want;
        }
        if ready >= threshold && self.plumbed_once {
            self.initialized = true;
        }
        let before = self.active.unwrap_or(ActiveCondition::starting(now));
        let after = before.after(now, proposal.want, ready, threshold);
        self.active = Some(after);
        Step {
            decided: UNDECIDED,
            want: proposal.want,
            patch: None,
            replicas: self.replicas,
            mode: self.mode,
            activators,
            active: after,
            initialized: self.initialized,
            desired: self.desired,
            actual: self.actual,
            recheck_ms: proposal.recheck_ms,
            probe: proposal.probe,
            rule: proposal.rule,
        }
    }
}

/// What is written down of a revision's lifecycle outside of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Whether the revision was serving; `None` if that was never written.
    pub active: Option<ActiveCondition>,
    /// Whether it has once had all the instances it was to start with.
    pub initialization: Initialization,
    /// The way requests take.
    pub mode: TrafficMode,
}

/// Whether a revision has once had all the instances it was to start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initialization {
    /// It has.
    Done,
    /// Not yet.
    Pending,
}

/// What a step asks for, before it is carried out.
#[derive(Debug, Clone, Copy)]
struct Proposal {
    want: i32,
    applies: bool,
    rule: StepRule,
    recheck_ms: Option<i64>,
    probe: ProbeUse,
}

impl Proposal {
    fn held(want: i32, rule: StepRule) -> Self {
        Self { want, applies: false, rule, recheck_ms: None, probe: ProbeUse::NotNeeded }
    }

    fn from_zero(outcome: ZeroOutcome) -> Self {
        let ZeroOutcome { want, applies, rule, recheck_ms, probe } = outcome;
        Self { want, applies, rule, recheck_ms, probe }
    }
}
