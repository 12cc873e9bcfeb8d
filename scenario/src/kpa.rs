//! Kind `kpa`: from decisions to replicas: bounds, scale to zero, who is in the path.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_autoscaler::Outlook;
use tidegate_autoscaler::lifecycle::{
    ActivatorProbe, DEFAULT_PROGRESS_DEADLINE, Lifecycle, LifecycleSpec, Observation, ProbeUse,
    ServerlessService, Step,
};
use tidegate_autoscaler::settings::{
    Config, GoDuration, Overrides, Reachability, Resolved, Strictness, Workload,
};

use crate::context::{Context, TimeMs};
use crate::error::ScenarioError;
use crate::settings::{ReachabilityInput, read_config};

/// What reports are read from once the revision is connected to the traffic.
const SCRAPE_TARGET: &str = "rev-private";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KpaInput {
    config: BTreeMap<String, String>,
    progress_deadline_ms: i64,
    annotations: BTreeMap<String, String>,
    reachability: ReachabilityInput,
    container_concurrency: u32,
    initial_replicas: i32,
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    t_ms: TimeMs,
    decider_desired: i32,
    decider_ebc: i32,
    ready: u32,
    #[serde(rename = "not_ready")]
    _not_ready: u32,
    #[serde(rename = "pending")]
    _pending: u32,
    #[serde(rename = "terminating")]
    _terminating: u32,
    sks: Sks,
    probe: Probe,
    reachability: Option<ReachabilityInput>,
}

/// The serverless service, which leads requests to the pods or to the activator.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sks {
    absent: bool,
    no_private_service: bool,
    #[serde(rename = "not_ready")]
    _not_ready: bool,
    activator_populated_since_ms: Option<TimeMs>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Probe {
    Ok,
    Fail,
    #[default]
    #[serde(alias = "")]
    Error,
}

#[derive(Debug, Serialize)]
pub(super) struct KpaOutput {
    reconciles: Vec<ReconcileOutput>,
}

#[derive(Debug, Serialize)]
struct ReconcileOutput {
    t_ms: i64,
    error: &'static str,
    replicas: i32,
    patched: bool,
    sks_mode: String,
    num_activators: i32,
    active: String,
    active_reason: String,
    active_since_ms: i64,
    scale_target_initialized: bool,
    status_desired: i32,
    status_actual: i32,
    enqueue_after_ms: Vec<i64>,
    probe_called: bool,
    async_probe: bool,
    scrape_target: &'static str,
}

pub(super) fn kpa(input: KpaInput, context: &mut Context) -> Result<KpaOutput, ScenarioError> {
    let rules = Rules::read(&input, context.rules.strictness())?;
    let base = context.base_unix_ms;
    let mut reachability = Reachability::from(input.reachability);
    let mut lifecycle = Lifecycle::new(input.initial_replicas);
    let mut reconciles = Vec::with_capacity(input.events.len());
    for event in &input.events {
        if let Some(now_reachable) = event.reachability {
            reachability = now_reachable.into();
        }
        let spec = rules.under(reachability);
        let observation = event.observation(base);
        let step = lifecycle.reconcile(event.t_ms.after(base), &spec, &observation);
        let t_ms = event.t_ms.get();
        context.explanations.say(|| format!("at {t_ms} ms: {step}"));
        let scraped = lifecycle.was_plumbed() && spec.decision.target_burst_capacity != -1.0;
        let scrape_target = if scraped { SCRAPE_TARGET } else { "" };
        reconciles.push(ReconcileOutput::of(t_ms, base, &step, scrape_target));
    }
    Ok(KpaOutput { reconciles })
}

/// A revision's settings before it is known whether anything routes to it.
struct Rules {
    config: Config,
    overrides: Overrides,
    container_concurrency: u32,
    progress_deadline: GoDuration,
}

impl Rules {
    fn read(input: &KpaInput, strictness: Strictness) -> Result<Self, ScenarioError> {
        Ok(Self {
            config: read_config(&input.config, strictness, "input.config")?,
            overrides: Overrides::read(&input.annotations),
            container_concurrency: input.container_concurrency,
            progress_deadline: match input.progress_deadline_ms {
                0 => DEFAULT_PROGRESS_DEADLINE,
                ms => GoDuration::from_milliseconds(ms),
            },
        })
    }

    fn under(&self, reachability: Reachability) -> LifecycleSpec {
        let container_concurrency = self.container_concurrency;
        let workload = Workload { container_concurrency, reachability };
        let resolved = Resolved::new(&self.config, &self.overrides, workload);
        LifecycleSpec::new(&self.config, &resolved, reachability, self.progress_deadline)
    }
}

impl Event {
    fn observation(&self, base_unix_ms: i64) -> Observation {
        let plumbing = if self.sks.absent || self.sks.no_private_service {
            ServerlessService::Missing
        } else {
            let since = self.sks.activator_populated_since_ms;
            ServerlessService::Present {
                activator_since: since.map(|since| since.after(base_unix_ms)),
            }
        };
        Observation {
            decided: self.decider_desired,
            excess_burst_capacity: self.decider_ebc,
            outlook: Outlook::Open,
            ready: self.ready,
            plumbing,
            probe: match self.probe {
                Probe::Ok => ActivatorProbe::Confirmed,
                Probe::Fail | Probe::Error => ActivatorProbe::Denied,
            },
        }
    }
}

impl ReconcileOutput {
    fn of(t_ms: i64, base_unix_ms: i64, step: &Step, scrape_target: &'static str) -> Self {
        Self {
            t_ms,
            error: "",
            replicas: step.replicas,
            patched: step.patch.is_some(),
            sks_mode: step.mode.to_string(),
            num_activators: step.activators,
            active: step.active.status.to_string(),
            active_reason: step.active.reason.to_string(),
            active_since_ms: step.active.since.as_millis() - base_unix_ms,
            scale_target_initialized: step.initialized,
            status_desired: step.desired,
            status_actual: step.actual,
            enqueue_after_ms: step.recheck_ms.into_iter().collect(),
            probe_called: step.probe != ProbeUse::NotNeeded,
            async_probe: step.probe == ProbeUse::Unconfirmed,
            scrape_target,
        }
    }
}
