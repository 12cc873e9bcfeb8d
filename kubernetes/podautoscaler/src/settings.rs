//! From the cluster's ConfigMaps and a PodAutoscaler's annotations to how a revision is scaled.

use tidegate_autoscaler::lifecycle::DEFAULT_PROGRESS_DEADLINE;
use tidegate_autoscaler::settings::{
    Config, GoDuration, Overrides, Resolved, Strictness, Workload,
};
use tidegate_autoscaler::{Improvements, LifecycleSpec, RevisionSettings};

use crate::names::{AUTOSCALER_CONFIG, DEPLOYMENT_CONFIG};
use crate::object::{PodAutoscaler, Texts};

/// The key of the progress deadline.
const PROGRESS_DEADLINE: &str = "progress-deadline";

/// What holds for all revisions.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSettings {
    /// `config-autoscaler`.
    pub autoscaler: Config,
    /// `progress-deadline` of `config-deployment`.
    pub progress_deadline: GoDuration,
    /// Where decisions differ from those of Knative's own class.
    pub improvements: Improvements,
}

impl ClusterSettings {
    /// What Knative ships, decided with `improvements`.
    #[must_use]
    pub fn shipped(improvements: Improvements) -> Self {
        let autoscaler = Config::default();
        Self { autoscaler, progress_deadline: DEFAULT_PROGRESS_DEADLINE, improvements }
    }

    /// Takes in the data of a ConfigMap. One that is not read here changes nothing.
    ///
    /// # Errors
    /// What is wrong with it; what held before goes on to hold.
    pub fn take_in(&mut self, name: &str, data: &Texts) -> Result<(), String> {
        match name {
            AUTOSCALER_CONFIG => {
                let config = Config::from_map(data, Strictness::Knative);
                self.autoscaler = config.map_err(|wrong| format!("{name}: {wrong}"))?;
            }
            DEPLOYMENT_CONFIG => {
                self.progress_deadline = match data.get(PROGRESS_DEADLINE) {
                    Some(text) => GoDuration::parse(text)
                        .map_err(|wrong| format!("{name}: {PROGRESS_DEADLINE}: {wrong}"))?,
                    None => DEFAULT_PROGRESS_DEADLINE,
                };
            }
            _ => {}
        }
        Ok(())
    }
}

/// How one revision is scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How it is measured and decided.
    pub revision: RevisionSettings,
    /// Bounds, and how its last replica goes.
    pub lifecycle: LifecycleSpec,
    /// The windows of its Metric.
    pub stable_window: GoDuration,
    /// The shorter one.
    pub panic_window: GoDuration,
}

impl Settings {
    /// The settings of a revision. Knative's webhook has seen its annotations before: what does not
    /// parse counts as absent, as for Knative's own class.
    #[must_use]
    pub fn new(cluster: &ClusterSettings, autoscaler: &PodAutoscaler) -> Self {
        let mut overrides = Overrides::read(&autoscaler.annotations);
        // Knative names a metric for its own classes only.
        overrides.metric.get_or_insert_with(|| "concurrency".to_owned());
        let (config, reachability) = (&cluster.autoscaler, autoscaler.reachability);
        let container_concurrency = autoscaler.container_concurrency;
        let workload = Workload { container_concurrency, reachability };
        let resolved = Resolved::new(config, &overrides, workload);
        let mut improvements = cluster.improvements;
        // Where activators alone report, a revision without requests is one that nobody speaks of.
        improvements.hold_in_silence &= resolved.windows.scraped;
        let revision =
            RevisionSettings { spec: resolved.spec, metric: resolved.windows, improvements };
        let deadline = cluster.progress_deadline;
        Self {
            revision,
            lifecycle: LifecycleSpec::new(config, &resolved, reachability, deadline),
            stable_window: resolved.stable_window,
            panic_window: resolved.panic_window,
        }
    }
}
