//! A scenario as names and values, for the settings of a result.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    Balance, Contention, Failure, NodeModel, Path, Platform, PolicyChoice, RevisionModel, Sampling,
    Scenario, StartsInTurns, Victim, megabytes,
};
use tidegate_autoscaler::settings::{CONFIG_KEYS, annotation, unknown_setting};
use tidegate_words::{choose, did_you_mean, excerpt, parse_seconds};

use crate::arrival::Traffic;
use crate::distribution::Distribution;
use crate::price::Prices;
use crate::time::SimSpan;

impl Scenario {
    /// Everything that was in force, by name: enough to run the same again.
    pub fn settings(&self, traffic: &dyn Traffic) -> BTreeMap<String, Value> {
        let mut map = self.revision.settings_by_name();
        map.insert("traffic".into(), json!(traffic.describe()));
        map.insert("duration_s".into(), json!(self.duration.map(SimSpan::as_secs_f64)));
        map.insert("warm_up_s".into(), json!(self.warm_up.as_secs_f64()));
        map.insert("start_contention".into(), json!(self.starts.contention.to_string()));
        map.insert("starts_per_second".into(), json!(self.starts.per_second));
        if let Some(turns) = &self.starts.in_turns {
            map.insert("starts_at_once".into(), json!(turns.to_string()));
        }
        if !self.nodes.is_empty() {
            let kinds = self.nodes.iter().map(|kind| (kind.name.clone(), kind.described()));
            map.insert("nodes".into(), Value::Object(kinds.collect()));
        }
        if self.prices.are_given() {
            map.insert("prices".into(), json!(self.prices));
        }
        if let Some(clients) = &self.clients {
            map.insert(
                "clients".into(),
                json!({
                    "count": clients.count,
                    "think": clients.think.to_string(),
                    "revision": clients.revision,
                }),
            );
        }
        if !self.failures.is_empty() {
            let failures = self.failures.iter().map(
                |failure| json!({ "at_s": failure.at.as_secs_f64(), "what": failure.to_string() }),
            );
            map.insert("failures".into(), Value::Array(failures.collect()));
        }
        if !self.revisions.is_empty() {
            let models = self.revisions.iter().map(|(name, model)| {
                let map = model.settings_by_name().into_iter().collect();
                (name.clone(), Value::Object(map))
            });
            map.insert("revisions".into(), Value::Object(models.collect()));
        }
        map
    }
}

impl Scenario {
    /// The model of the revision of that name.
    pub fn model_of(&self, revision: &str) -> &RevisionModel {
        self.revisions.get(revision).unwrap_or(&self.revision)
    }

    /// Whether anything in it has a price.
    pub fn is_priced(&self) -> bool {
        self.prices.are_given() || self.nodes.iter().any(|kind| kind.price_hour.is_some())
    }

    /// Sets one thing by name: `fail`, `nodes` and `price`, each of which adds to what there is,
    /// where `none` takes all of it away; `start-contention`, `starts-per-second`,
    /// `starts-at-once`; or else what [`RevisionModel::set`] takes, for all revisions without a
    /// model of their own.
    ///
    /// # Errors
    ///
    /// As [`RevisionModel::set`].
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (name, value) {
            ("start-contention", _) => self.starts.contention = Contention::parse(value)?,
            ("starts-per-second", _) => {
                let number =
                    value.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
                let expected = || format!("expected a number above 0, found '{}'", excerpt(value));
                self.starts.per_second = Some(number.ok_or_else(expected)?);
            }
            ("starts-at-once", _) => self.starts.in_turns = StartsInTurns::parse(value)?,
            ("fail", "none") => self.failures.clear(),
            ("fail", _) => self.failures.push(Failure::parse(value)?),
            ("nodes", "none") => self.nodes.clear(),
            ("nodes", _) => self.nodes.push(NodeModel::parse(value)?),
            ("price", "none") => self.prices = Prices::default(),
            ("price", _) => self.prices = Prices::parse(value)?.or(self.prices),
            _ => self.revision.set(name, value)?,
        }
        Ok(())
    }
}

impl Platform {
    /// Local mode, whose last instance stays for `idle` after the last request. The clocks of what
    /// is local already stay as they are; else all begin their seconds together.
    #[must_use]
    pub const fn local(self, idle: SimSpan) -> Platform {
        Platform::Local { idle, into_second: self.into_second() }
    }

    /// In local mode, how long the last instance stays after the last request.
    pub(crate) const fn idle(self) -> Option<SimSpan> {
        match self {
            Platform::Cluster => None,
            Platform::Local { idle, .. } => Some(idle),
        }
    }

    /// How far the controller's clock is into a second at time zero.
    pub(crate) const fn into_second(self) -> SimSpan {
        match self {
            Platform::Cluster => SimSpan::ZERO,
            Platform::Local { into_second, .. } => into_second,
        }
    }
}

impl RevisionModel {
    fn settings_by_name(&self) -> BTreeMap<String, Value> {
        let start_up = &self.start_up;
        let entries = [
            ("policy", json!(self.policy.to_string())),
            ("set", json!(self.settings)),
            ("in_force", crate::scaler::settings::in_force(self)),
            ("concurrency", json!(self.concurrency)),
            ("service", json!(self.service.to_string())),
            ("contention", json!(self.contention.to_string())),
            ("schedule", json!(start_up.schedule.to_string())),
            ("pull", json!(start_up.pull.to_string())),
            ("cold_start", json!(start_up.start.to_string())),
            ("probe_period_s", json!(start_up.probe_period.as_secs_f64())),
            ("queue", json!(self.path.name())),
            ("balance", json!(self.balance.name())),
            ("front_door_balance", json!(self.front_door_balance.name())),
            ("front_door_capacity", json!(self.front_door_capacity)),
            ("queue_depth", json!(self.queue_depth)),
            ("timeout_s", json!(self.timeout.map(SimSpan::as_secs_f64))),
            ("retries", json!(self.retry.tries)),
            ("backoff", json!(self.retry.backoff.to_string())),
            ("drain_s", json!(self.drain.as_secs_f64())),
            ("victim", json!(self.victim.name())),
            ("initial", json!(self.initial)),
            ("initial_starting", json!(self.initial_starting)),
            ("instance_gpus", json!(self.gpus)),
            ("instance_memory_mb", json!(self.memory_mb)),
            ("report_lag_s", json!(self.reporting.lag.as_secs_f64())),
            ("report_loss", json!(self.reporting.loss)),
            ("report_sampling", json!(self.reporting.sampling.name())),
            ("local_idle_s", json!(self.platform.idle().map(SimSpan::as_secs_f64))),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether the autoscaler has a setting of this name.
fn is_setting(name: &str) -> bool {
    CONFIG_KEYS.contains(&name) || annotation(name).is_some()
}

impl RevisionModel {
    /// Sets one thing by name: `policy`, `concurrency`, `queue`, `balance`, `victim`, `contention`,
    /// `service`, `cold-start`, `timeout`, `initial`, `instance-gpus`, `instance-memory`, or else a
    /// setting of the autoscaler, whose value is checked when the scenario is run, or by
    /// [`RevisionModel::check`].
    ///
    /// # Errors
    ///
    /// When there is no such name, with the nearest that there is; or when the value is not one the
    /// name takes, with what would be accepted.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let whole = |_| format!("expected a whole number, found '{}'", excerpt(value));
        let law = || Distribution::parse(value, &|path| std::fs::read_to_string(path));
        match name {
            "policy" => self.policy = PolicyChoice::parse(value)?,
            "concurrency" => {
                self.concurrency = value.parse().map_err(whole)?;
            }
            "initial" => {
                self.initial = Some(value.parse().map_err(whole)?);
            }
            "instance-gpus" => {
                self.gpus = value.parse().map_err(whole)?;
            }
            "instance-memory" => self.memory_mb = Some(megabytes(value)?),
            "queue" => self.path = Path::parse(value)?,
            "balance" => {
                self.balance = Balance::parse(value)?;
                self.front_door_balance = self.balance;
            }
            "victim" => self.victim = Victim::parse(value)?,
            "contention" => self.contention = Contention::parse(value)?,
            "service" => self.service = law().map_err(|error| error.to_string())?,
            "cold-start" => {
                self.start_up.start = law().map_err(|error| error.to_string())?;
                self.start_up.in_order = None;
            }
            "timeout" => {
                let seconds = parse_seconds(value).map_err(|error| error.to_string())?;
                self.timeout = Some(SimSpan::from_secs_f64(seconds));
            }
            _ if is_setting(name) => {
                self.settings.insert(name.to_owned(), value.to_owned());
            }
            _ => return Err(unknown_setting(name)),
        }
        Ok(())
    }
}

impl RevisionModel {
    /// Checks the settings, as running the scenario would.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, one finding a line.
    pub fn check(&self) -> Result<(), String> {
        crate::scaler::Rules::new(self).map(drop)
    }
}

impl RevisionModel {
    /// Milliseconds between two decisions in turn.
    ///
    /// # Errors
    ///
    /// As [`RevisionModel::check`].
    pub fn tick_ms(&self) -> Result<u64, String> {
        crate::scaler::tick_ms(self)
    }
}

impl PolicyChoice {
    /// Reads `kpa`, `tidegate`, `hpa`, `fixed:N` or `keep-alive:TIME`.
    ///
    /// # Errors
    ///
    /// What would be accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.split(':').next().unwrap_or(text);
        let expected = || {
            let near = match POLICIES.contains(&name) {
                true => String::new(),
                false => did_you_mean(name, POLICIES),
            };
            format!(
                "expected kpa, tidegate, hpa, fixed:N or keep-alive:TIME, found '{}'{near}",
                excerpt(text)
            )
        };
        match text.split_once(':') {
            None if text == "kpa" => Ok(PolicyChoice::Knative),
            None if text == "tidegate" => Ok(PolicyChoice::Tidegate),
            None if text == "hpa" => Ok(PolicyChoice::Hpa),
            Some(("fixed", count)) => {
                count.parse().map(PolicyChoice::Fixed).map_err(|_| expected())
            }
            Some(("keep-alive" | "keepalive", idle)) => {
                let seconds =
                    parse_seconds(idle).map_err(|problem| format!("keep-alive:TIME: {problem}"))?;
                Ok(PolicyChoice::KeepAlive(SimSpan::from_secs_f64(seconds)))
            }
            _ => Err(expected()),
        }
    }
}

/// Names of the policies, for the error on an unknown one.
const POLICIES: [&str; 5] = ["kpa", "tidegate", "hpa", "fixed", "keep-alive"];

impl std::fmt::Display for Contention {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contention::None => f.write_str("none"),
            Contention::ProcessorSharing { cores } => write!(f, "ps:{cores}"),
            Contention::Linear { alpha } => write!(f, "linear:{alpha}"),
            Contention::Curve { factors } => {
                let factors: Vec<String> = factors.iter().map(f64::to_string).collect();
                write!(f, "curve:{}", factors.join(","))
            }
        }
    }
}

impl Path {
    /// The name used in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Path::Auto => "auto",
            Path::Central => "central",
            Path::Direct => "per-instance",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Central, Self::Direct];

    /// The path of that name.
    ///
    /// # Errors
    ///
    /// The names that would do.
    pub fn parse(name: &str) -> Result<Self, String> {
        choose(name, &Self::ALL, Self::name)
    }
}

impl Balance {
    /// The name used in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Balance::LeastLoaded => "least-loaded",
            Balance::FirstAvailable => "first-available",
            Balance::RoundRobin => "round-robin",
            Balance::RandomOfTwo => "random-2",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 4] =
        [Self::LeastLoaded, Self::FirstAvailable, Self::RoundRobin, Self::RandomOfTwo];

    /// The rule of that name.
    ///
    /// # Errors
    ///
    /// The names that would do.
    pub fn parse(name: &str) -> Result<Self, String> {
        choose(name, &Self::ALL, Self::name)
    }
}

impl Victim {
    /// The name used in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Victim::Newest => "newest",
            Victim::Oldest => "oldest",
            Victim::Idlest => "idlest",
            Victim::Random => "random",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Newest, Self::Oldest, Self::Idlest, Self::Random];

    /// The rule of that name.
    ///
    /// # Errors
    ///
    /// The names that would do.
    pub fn parse(name: &str) -> Result<Self, String> {
        choose(name, &Self::ALL, Self::name)
    }
}

impl Sampling {
    /// The name used in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Sampling::All => "all",
            Sampling::Knative => "knative",
        }
    }

    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::All, Self::Knative];

    /// The rule of that name.
    ///
    /// # Errors
    ///
    /// The names that would do.
    pub fn parse(name: &str) -> Result<Self, String> {
        choose(name, &Self::ALL, Self::name)
    }
}

impl Contention {
    /// Reads `none`, `ps:CORES`, `linear:ALPHA` or `curve:F1,F2,...`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected none, ps:CORES, linear:ALPHA or curve:1,1.2,..., found '{}'{}",
                excerpt(text),
                did_you_mean(
                    text.split(':').next().unwrap_or(text),
                    ["none", "ps", "linear", "curve"]
                        .into_iter()
                        .filter(|law| !text.starts_with(law))
                )
            )
        };
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| expected());
        let law = match text.split_once(':') {
            None if text == "none" => Contention::None,
            Some(("ps", cores)) => Contention::ProcessorSharing { cores: number(cores)? },
            Some(("linear", alpha)) => Contention::Linear { alpha: number(alpha)? },
            Some(("curve", factors)) => Contention::Curve {
                factors: factors.split(',').map(number).collect::<Result<Vec<_>, _>>()?.into(),
            },
            _ => return Err(expected()),
        };
        match law.problem() {
            Some(problem) => Err(format!("'{}': {problem}", excerpt(text))),
            None => Ok(law),
        }
    }
}
