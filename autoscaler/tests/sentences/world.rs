//! A revision whose driver is real: what happens to it is said here, and what it says is read.

use tidegate_autoscaler::driver::{Applied, ClusterView, Driver, Path};
use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::lifecycle::{DEFAULT_PROGRESS_DEADLINE, Lifecycle, LifecycleSpec};
use tidegate_autoscaler::settings::{
    Config, Overrides, Reachability, Resolved, ScaleBounds, Workload,
};
use tidegate_autoscaler::{
    Decision, DecisionSpec, Improvements, MetricSpec, Observed, Origin, Policy, RevisionAutoscaler,
    RevisionSettings, Sample, Signal, Timestamp,
};

/// 2001-09-09T01:46:40Z, the beginning of every world.
const BEGINNING_S: i64 = 1_000_000_000;

/// A decision and what came of it.
pub(crate) struct Told {
    pub(crate) decision: Decision,
    pub(crate) followed: Applied,
}

impl Told {
    pub(crate) fn words(&self) -> String {
        match self.followed.step {
            Some(step) => self.decision.explanation.with_lifecycle(step).to_string(),
            None => self.decision.explanation.to_string(),
        }
    }
}

pub(crate) struct World<P> {
    pub(crate) driver: Driver<P>,
    pub(crate) spec: LifecycleSpec,
    pub(crate) now: Timestamp,
    pub(crate) observed: Observed,
    pub(crate) signals: Vec<Signal>,
    pub(crate) path: Path,
    at_activators: Option<f64>,
    /// What the reporters remember.
    kept: Vec<HistoryEntry>,
    /// What the last decision in turn said.
    pub(crate) last: Option<String>,
}

/// Knative's defaults with Tidegate's improvements: ten requests in flight for each instance, of
/// which seven are aimed for, and a burst of fifty to fit on top.
pub(crate) fn settings() -> RevisionSettings {
    RevisionSettings {
        spec: DecisionSpec {
            target_value: 7.0,
            total_value: 10.0,
            target_burst_capacity: 50.0,
            ..DecisionSpec::KNATIVE
        },
        metric: MetricSpec::default(),
        improvements: Improvements::all(),
    }
}

pub(crate) fn lifecycle() -> LifecycleSpec {
    let config = Config::default();
    let workload = Workload { container_concurrency: 0, reachability: Reachability::Reachable };
    let resolved = Resolved::new(&config, &Overrides::default(), workload);
    let deadline = DEFAULT_PROGRESS_DEADLINE;
    LifecycleSpec::new(&config, &resolved, Reachability::Reachable, deadline)
}

pub(crate) fn bounds(min: i32, max: i32) -> LifecycleSpec {
    LifecycleSpec { bounds: ScaleBounds { min, max }, ..lifecycle() }
}

/// So many of those asked for take requests, the others start.
pub(crate) fn seen(ready: u32, requested: u32) -> Observed {
    Observed { ready, starting: requested - ready, requested, ..Observed::default() }
}

impl World<RevisionAutoscaler> {
    /// A revision by `settings` with `ready` instances at its beginning.
    pub(crate) fn of(settings: RevisionSettings, ready: u32) -> Self {
        let beginning = Timestamp::from_secs(BEGINNING_S);
        let policy = RevisionAutoscaler::new(settings, beginning, ready).expect("sound windows");
        Self::decided_by(policy, ready)
    }

    pub(crate) fn new(ready: u32) -> Self {
        Self::of(settings(), ready)
    }

    /// The controller restarts, and is told the past by its reporters.
    pub(crate) fn restarted(mut self) -> Self {
        let settings = *self.driver.policy().settings();
        let policy = RevisionAutoscaler::rebuild(settings, &self.kept, self.now);
        let replicas = i32::try_from(self.observed.requested).unwrap_or(i32::MAX);
        let lifecycle = Lifecycle::new(replicas);
        self.driver = Driver::new(policy.expect("sound windows"), lifecycle, self.now);
        self
    }
}

impl<P: Policy> World<P> {
    pub(crate) fn decided_by(policy: P, ready: u32) -> Self {
        let beginning = Timestamp::from_secs(BEGINNING_S);
        let replicas = i32::try_from(ready).unwrap_or(i32::MAX);
        Self {
            driver: Driver::new(policy, Lifecycle::new(replicas), beginning),
            spec: lifecycle(),
            now: beginning,
            observed: Observed::ready(ready),
            signals: Vec::new(),
            path: Path::ThroughActivator,
            at_activators: None,
            kept: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn with(mut self, spec: LifecycleSpec) -> Self {
        self.spec = spec;
        self
    }

    /// `seconds` in each of which the instances report so many requests in flight; decisions in
    /// turn on the way.
    pub(crate) fn busy(mut self, seconds: u64, concurrency: f64) -> Self {
        for _ in 0..seconds {
            self.report(concurrency, 0.0);
            self = self.silent(1);
        }
        self
    }

    /// What the instances report of this second.
    pub(crate) fn report(&mut self, concurrency: f64, rate: f64) {
        let sample = Sample::new(concurrency, 0.0, rate, 0.0).expect("a sound sample");
        let at = self.now.plus_millis(500);
        self.driver.record(at, Origin::Instances, &sample);
        let (origin, observed) = (Origin::Instances, self.observed);
        self.kept.push(HistoryEntry { at, origin, sample, observed });
    }

    /// `seconds` without any report.
    pub(crate) fn silent(mut self, seconds: u64) -> Self {
        for _ in 0..seconds {
            self.now = self.now.plus_millis(1_000);
            if self.now.unix_seconds() % 2 == 0 {
                self.last = Some(self.words());
            }
        }
        self
    }

    /// There are so many instances from now on, all ready.
    pub(crate) fn ready(mut self, ready: u32) -> Self {
        self.observed = Observed::ready(ready);
        self
    }

    /// So many requests are served and wait, and that is heard of at once.
    pub(crate) fn crowded(mut self, in_flight: u32, waiting: u32) -> Self {
        self.observed = Observed { in_flight, waiting, ..self.observed };
        self.at_activators = Some(0.0);
        self
    }

    pub(crate) fn seen(mut self, observed: Observed) -> Self {
        self.observed = observed;
        self
    }

    pub(crate) fn tick(&mut self) -> Told {
        let scene = ClusterView {
            observed: self.observed,
            at_activators: self.at_activators,
            signals: &self.signals,
            path: self.path,
        };
        let (decision, followed) = self.driver.tick(self.now, &scene, &self.spec);
        Told { decision, followed }
    }

    pub(crate) fn words(&mut self) -> String {
        self.tick().words()
    }
}
