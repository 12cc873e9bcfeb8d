//! One revision: its windows, its decisions, and when it is to be looked at again.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use tidegate_autoscaler::driver::{Applied, ClusterView, Driver, Path, Urgency};
use tidegate_autoscaler::lifecycle::{
    ActivatorProbe, ActiveCondition, ActiveReason, ActiveStatus, Initialization, Lifecycle,
    ProbeUse, Remembered, Step, TrafficMode, UNDECIDED,
};
use tidegate_autoscaler::revision::TICK_INTERVAL_MS;
use tidegate_autoscaler::scrape::{ScrapeResponse, ScrapeRound, Scraped, Scraper};
use tidegate_autoscaler::{
    Improvements, Observed, Origin, RevisionAutoscaler, Sample, ScalingMetric, Timestamp,
};

use crate::condition::{ACTIVE, ConditionStatus, INITIALIZED};
use crate::object::{PodAutoscaler, ServerlessService};
use crate::settings::Settings;
use crate::statistics::{ActivatorReport, PodLoad};

/// Time between two scrapes of a revision's pods: its windows have a resolution of a second.
pub const SCRAPE_INTERVAL_MS: u64 = 1_000;

/// Time between two probes whether activators are in the path.
pub const PROBE_INTERVAL_MS: u64 = 1_000;

/// How long a probe that found activators in the path counts.
const PROBE_HOLDS_MS: u64 = 2_000;

/// How long what an activator said counts as what it holds now: it says it every second.
const REPORT_HOLDS_MS: u64 = 2_500;

/// How long nothing is recorded before that counts as silence: an activator reports every second
/// while it carries requests, and once that it carries none.
const SILENCE_MS: u64 = 2_000;

/// Activators that are kept apart; what others hold is in the windows and wakes nobody out of turn.
const ACTIVATORS_MAX: usize = 1_024;

/// Pods of a revision that are listened to: as many as are asked at most.
const LISTENED_MAX: usize = 16;

/// What is seen of a revision when it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Replicas asked for.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: u32,
    /// The way of its requests, once that is there.
    pub service: Option<&'a ServerlessService>,
}

/// Whether a probe is under way, and what the last one found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Idle,
    UnderWay,
    Found(ActivatorProbe, Timestamp),
}

/// One revision.
#[derive(Debug, Clone)]
pub struct Revision {
    driver: Driver<RevisionAutoscaler>,
    settings: Settings,
    /// A decision is due at once.
    urgent: Option<Timestamp>,
    resting: bool,
    /// Whether its requests have a way; before that nothing is decided.
    plumbed: bool,
    probe: Probe,
    scraper: Scraper,
    round: Option<ScrapeRound>,
    next_scrape: Timestamp,
    /// When anything was last recorded.
    recorded: Timestamp,
    /// What each activator holds.
    at_activators: BTreeMap<String, (Timestamp, f64)>,
    /// What pods have that no activator reports, by the last scrape.
    beside: (Timestamp, f64),
    /// Pods that are listened to.
    listened: BTreeSet<IpAddr>,
    /// What those of them hold that were heard.
    in_pods: BTreeMap<IpAddr, (Timestamp, PodLoad)>,
}

impl Revision {
    /// A revision that is looked at for the first time, as its PodAutoscaler says it was left.
    /// `None` for windows that cannot be kept.
    #[must_use]
    pub fn new(
        now: Timestamp,
        settings: Settings,
        autoscaler: &PodAutoscaler,
        view: &View<'_>,
    ) -> Option<Self> {
        let policy = RevisionAutoscaler::new(settings.revision, now, view.ready).ok()?;
        let desired = autoscaler.status.desired_scale.unwrap_or(UNDECIDED);
        let mode = mode(view.service);
        let lifecycle = match autoscaler.status.service_name.as_str() {
            "" => Lifecycle::new(view.replicas),
            _ => Lifecycle::resumed(view.replicas, desired, remembered(autoscaler, mode)),
        };
        let mut driver = Driver::new(policy, lifecycle, now.plus_millis(TICK_INTERVAL_MS));
        if desired >= 0 {
            // What was decided before a restart stands until there is something newer.
            driver.assume(desired, if mode == TrafficMode::Serve { 0 } else { -1 });
        }
        Some(Self {
            driver,
            settings,
            urgent: None,
            resting: false,
            plumbed: false,
            probe: Probe::Idle,
            scraper: Scraper::default(),
            round: None,
            next_scrape: now,
            recorded: now,
            at_activators: BTreeMap::new(),
            beside: (Timestamp::EPOCH, 0.0),
            listened: BTreeSet::new(),
            in_pods: BTreeMap::new(),
        })
    }

    /// Is scaled by other settings from now on; what was measured stays.
    pub fn adopt(&mut self, now: Timestamp, settings: Settings) {
        if settings == self.settings {
            return;
        }
        let policy = self.driver.policy_mut();
        policy.set_spec(settings.revision.spec);
        policy.set_improvements(settings.revision.improvements);
        // Windows that cannot be kept are left as they are.
        let _ = policy.set_metric(now, settings.revision.metric);
        self.settings = settings;
        self.urgent = Some(now);
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// An activator has reported while `ready` pods were ready.
    pub fn hear(&mut self, now: Timestamp, report: &ActivatorReport, ready: u32) {
        let load = report.sample.concurrency();
        self.record(now, Origin::Activator, &report.sample);
        self.at_activators.retain(|_, (at, _)| now.millis_since(*at) < REPORT_HOLDS_MS);
        let is_known = self.at_activators.contains_key(&report.activator);
        if is_known || self.at_activators.len() < ACTIVATORS_MAX {
            self.at_activators.insert(report.activator.clone(), (now, load));
        }
        if load > 0.0 && std::mem::take(&mut self.resting) {
            self.driver.wake(now);
        }
        self.urge(now, ready, load);
    }

    /// A pod says what is inside while `ready` pods are ready; `None` when it is heard no more.
    pub fn hear_pod(&mut self, now: Timestamp, (pod, load): (IpAddr, Option<PodLoad>), ready: u32) {
        // What comes late is of a pod that may be another by now.
        let Some(load) = load.filter(|_| self.listened.contains(&pod)) else {
            self.in_pods.remove(&pod);
            return;
        };
        self.in_pods.insert(pod, (now, load));
        self.urge(now, ready, f64::from(load.in_flight));
    }

    /// Says which of the `ready` pods are to be listened to, if these are others than before. Who
    /// is listened to already goes on to be.
    pub fn begin_to_listen<'a>(
        &mut self,
        ready: impl Iterator<Item = &'a IpAddr>,
    ) -> Option<Vec<IpAddr>> {
        let settings = &self.settings.revision;
        let listens = settings.metric.scraped && settings.improvements.count_waiting;
        let (mut known, mut new): (Vec<IpAddr>, Vec<IpAddr>) =
            ready.filter(|_| listens).partition(|pod| self.listened.contains(pod));
        new.truncate(LISTENED_MAX.saturating_sub(known.len()));
        known.extend(new);
        let wanted: BTreeSet<IpAddr> = known.into_iter().collect();
        if wanted == self.listened {
            return None;
        }
        self.in_pods.retain(|pod, _| wanted.contains(pod));
        self.listened.clone_from(&wanted);
        Some(wanted.into_iter().collect())
    }

    /// Pods were asked; `responses` of those that were.
    pub fn scraped(&mut self, now: Timestamp, responses: &[ScrapeResponse], ready: u32) -> Scraped {
        let Some(mut round) = self.round.take() else { return Scraped::Nobody };
        for response in responses {
            round.take(*response);
        }
        let scraped = self.scraper.finish(&round);
        if let Scraped::Sample(sample) = &scraped {
            self.record(now, Origin::Instances, sample);
            let beside = (sample.concurrency() - sample.proxied_concurrency()).max(0.0);
            self.beside = (now, beside);
            self.urge(now, ready, beside);
        }
        scraped
    }

    fn record(&mut self, now: Timestamp, origin: Origin, sample: &Sample) {
        self.recorded = now;
        self.driver.record(now, origin, sample);
    }

    /// Where no pods are asked, a revision that no activator speaks of is one without requests.
    fn note_silence(&mut self, now: Timestamp, ready: u32) {
        let improves = self.settings.revision.improvements != Improvements::none();
        let is_silent = now.millis_since(self.recorded) >= SILENCE_MS;
        if improves && is_silent && !self.scrapes(ready) {
            self.record(now, Origin::Activator, &Sample::IDLE);
        }
    }

    /// Has a decision made at once if there are more requests than `ready` pods can take, or if
    /// there are some and the revision sleeps.
    fn urge(&mut self, now: Timestamp, ready: u32, load: f64) {
        let waiting = self.waiting(now, ready);
        let is_due = match waiting {
            0 => self.driver.policy().should_wake(load),
            waiting => self.driver.urge(now, waiting) == Urgency::Now,
        };
        if is_due {
            self.urgent = Some(now);
        }
    }

    /// Requests that activators and pods hold, as far as is known. What came through activators is
    /// in both, and what pods say of themselves is newer.
    fn held(&self, now: Timestamp) -> f64 {
        let is_recent = |at: Timestamp| now.millis_since(at) < REPORT_HOLDS_MS;
        let held = self.at_activators.values().chain([&self.beside]);
        let reported: f64 = held.filter(|(at, _)| is_recent(*at)).map(|(_, load)| load).sum();
        reported.max(f64::from(self.inside_pods(now).in_flight))
    }

    /// What pods hold that are listened to.
    fn inside_pods(&self, now: Timestamp) -> PodLoad {
        let heard = self.in_pods.values();
        let recent = heard.filter(|(at, _)| now.millis_since(*at) < REPORT_HOLDS_MS);
        recent.fold(PodLoad::default(), |sum, (_, load)| PodLoad {
            in_flight: sum.in_flight.saturating_add(load.in_flight),
            waiting: sum.waiting.saturating_add(load.waiting),
        })
    }

    /// Requests beyond what `ready` pods can take, or that wait at one of them, as far as is known.
    fn waiting(&self, now: Timestamp, ready: u32) -> u32 {
        let spec = &self.settings.revision.spec;
        if spec.scaling_metric != ScalingMetric::Concurrency {
            return 0;
        }
        let beyond = self.held(now) - f64::from(ready) * spec.total_value;
        // Saturates; what is not beyond is nothing.
        (beyond.max(0.0).ceil() as u32).max(self.inside_pods(now).waiting)
    }

    /// Looks at the revision: decides if a decision is due, and takes what was decided last through
    /// its bounds and lifecycle.
    pub fn look(&mut self, now: Timestamp, view: &View<'_>) -> Looked {
        let path = match view.service {
            Some(service) if !service.private_service_name.is_empty() => {
                Path::Probed { activator_since: service.activator_since, probe: self.found(now) }
            }
            _ => Path::Missing,
        };
        if let Some(lifecycle) = self.driver.lifecycle_mut() {
            lifecycle.set_replicas(view.replicas);
        }
        self.plumbed = path != Path::Missing;
        self.driver.policy_mut().expect_reports_of(view.ready);
        let is_due = self.urgent.take().is_some() || self.driver.next_due() <= now;
        let decides = is_due && self.plumbed;
        if decides {
            self.note_silence(now, view.ready);
        }
        let spec = &self.settings.lifecycle;
        let (applied, why) = if decides {
            let observed = self.observed(now, view);
            let scene = ClusterView { observed, at_activators: None, signals: &[], path };
            let (decision, applied) = self.driver.tick(now, &scene, spec);
            (applied, decision.explanation.to_string())
        } else {
            (self.driver.apply(now, view.ready, path, spec), String::new())
        };
        self.resting =
            view.replicas == 0 && view.ready == 0 && self.driver.wants_nothing() && self.plumbed;
        Looked { applied, why }
    }

    /// What there is at the time of a decision.
    fn observed(&self, now: Timestamp, view: &View<'_>) -> Observed {
        let requested = u32::try_from(view.replicas).unwrap_or(0);
        let waiting = self.waiting(now, view.ready);
        // Saturates.
        let held = self.held(now).ceil() as u32;
        Observed {
            ready: view.ready,
            starting: requested.saturating_sub(view.ready),
            requested,
            in_flight: held.saturating_sub(waiting),
            waiting,
            at_once: Some(held),
        }
    }

    fn found(&self, now: Timestamp) -> ActivatorProbe {
        match self.probe {
            Probe::Found(ActivatorProbe::Confirmed, at)
                if now.millis_since(at) < PROBE_HOLDS_MS =>
            {
                ActivatorProbe::Confirmed
            }
            _ => ActivatorProbe::NotAsked,
        }
    }

    /// Whether to probe now, after a step that would have liked to know.
    pub fn begin_probe(&mut self, now: Timestamp, step: &Step) -> bool {
        let may_begin = match self.probe {
            Probe::Idle => true,
            Probe::UnderWay => false,
            Probe::Found(_, at) => now.millis_since(at) >= PROBE_INTERVAL_MS,
        };
        let begins = may_begin && step.probe == ProbeUse::Unconfirmed;
        if begins {
            self.probe = Probe::UnderWay;
        }
        begins
    }

    /// A probe has ended.
    pub fn probed(&mut self, now: Timestamp, found: ActivatorProbe) {
        self.probe = Probe::Found(found, now);
    }

    /// Begins to scrape `ready` pods, if that is due. Returns how many of them are to be asked.
    pub fn begin_scrape(&mut self, now: Timestamp, ready: u32) -> Option<u32> {
        let is_due = self.scrapes(ready) && self.round.is_none() && now >= self.next_scrape;
        if !is_due {
            return None;
        }
        // In step with the clock, not with how long scrapes take.
        let in_turn = self.next_scrape.plus_millis(SCRAPE_INTERVAL_MS);
        self.next_scrape =
            if in_turn > now { in_turn } else { now.plus_millis(SCRAPE_INTERVAL_MS) };
        self.round = Some(self.scraper.begin(ready));
        Some(tidegate_autoscaler::scrape::sample_size(ready))
    }

    /// With an unbounded burst capacity activators see, and report, every request.
    fn scrapes(&self, ready: u32) -> bool {
        self.plumbed && self.settings.revision.metric.scraped && ready > 0
    }

    /// When to look again if nothing happens before; `None` while the revision rests, or waits for
    /// its requests to have a way.
    #[must_use]
    pub fn next_look(&self, ready: u32, step: Option<&Step>) -> Option<Timestamp> {
        if self.resting || !self.plumbed {
            return None;
        }
        let scrape = (self.scrapes(ready) && self.round.is_none()).then_some(self.next_scrape);
        let wants_probe = step.is_some_and(|step| step.probe == ProbeUse::Unconfirmed);
        let probe = match self.probe {
            Probe::Found(_, at) if wants_probe => Some(at.plus_millis(PROBE_INTERVAL_MS)),
            _ => None,
        };
        [Some(self.driver.next_due()), self.urgent, scrape, probe].into_iter().flatten().min()
    }

    /// Replicas asked for, as of the last look.
    #[must_use]
    pub fn replicas(&self) -> i32 {
        self.driver.lifecycle().map_or(0, Lifecycle::replicas)
    }
}

/// What a look came to.
#[derive(Debug, Clone)]
pub struct Looked {
    /// What follows.
    pub applied: Applied,
    /// Why the decision is what it is; empty if none was made now.
    pub why: String,
}

fn mode(service: Option<&ServerlessService>) -> TrafficMode {
    let mode = service.and_then(|service| service.spec.get("mode")?.as_str());
    if mode == Some("Serve") { TrafficMode::Serve } else { TrafficMode::Proxy }
}

/// What a PodAutoscaler's conditions say of the past.
fn remembered(autoscaler: &PodAutoscaler, mode: TrafficMode) -> Remembered {
    let conditions = &autoscaler.status.conditions;
    let active = conditions.get(ACTIVE).map(|condition| ActiveCondition {
        status: match condition.status {
            ConditionStatus::True => ActiveStatus::True,
            ConditionStatus::False => ActiveStatus::False,
            ConditionStatus::Unknown => ActiveStatus::Unknown,
        },
        reason: match condition.reason.as_str() {
            "Queued" => ActiveReason::Queued,
            "NoTraffic" => ActiveReason::NoTraffic,
            "TimedOut" => ActiveReason::TimedOut,
            _ => ActiveReason::None,
        },
        since: condition.since,
    });
    let initialized = conditions.get(INITIALIZED).map(|condition| condition.status);
    let initialization = match initialized {
        Some(ConditionStatus::True) => Initialization::Done,
        _ => Initialization::Pending,
    };
    Remembered { active, initialization, mode }
}
