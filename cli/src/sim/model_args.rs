//! What is simulated: the app, its platform and its clients.

use std::collections::BTreeMap;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use tidegate_sim::scenario::{
    Balance, Clients, Contention, Failure, FailureKind, NodeModel, Path, Platform, Reporting,
    Retry, Sampling, StartUp, Victim,
};
use tidegate_sim::{
    Distribution, PolicyChoice, Recording, RevisionModel, Scenario, SimSpan, SimTime,
};

use super::traffic_args::span;

/// Where a start-up ends up on a small cluster with images at hand; `--cold-start` says better.
pub(crate) const DEFAULT_COLD_START: &str = "const:1s";
/// Service time of requests that bring none.
pub(crate) const DEFAULT_SERVICE: &str = "const:100ms";

/// Options that describe the model. All have defaults that mean as little as possible.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Who decides: kpa (Knative's algorithm), tidegate (the same with all improvements), hpa
    /// (Kubernetes' autoscaler), fixed:N, keepalive:TIME.
    #[arg(long, value_name = "POLICY", default_value = "kpa")]
    pub(crate) policy: String,
    /// A setting of the autoscaler: a key of config-autoscaler or an annotation; again for more.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Target of the autoscaler for each instance; the same as --set target=X.
    #[arg(long, value_name = "X")]
    target: Option<f64>,
    /// Requests an instance serves at a time; 0 means no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    concurrency: u32,
    /// Service times of requests that bring none of their own: const:, exp:, lognormal:MEAN,SD,
    /// normal:, uniform:, weibull:, empirical:FILE [default: const:100ms].
    #[arg(long, value_name = "DIST")]
    service: Option<String>,
    /// How requests in one instance slow each other: none, ps:CORES, linear:ALPHA or
    /// curve:1,1.2,...
    #[arg(long, value_name = "LAW", default_value = "none")]
    contention: String,
    /// From the start of an instance to its being ready.
    #[arg(long, value_name = "DIST", default_value = DEFAULT_COLD_START)]
    cold_start: String,
    /// From the wish for an instance to its place on a node.
    #[arg(long, value_name = "DIST")]
    schedule: Option<String>,
    /// Fetching the image, once on each node.
    #[arg(long, value_name = "DIST")]
    pull: Option<String>,
    /// Readiness is noticed at multiples of this.
    #[arg(long, value_name = "TIME", value_parser = span)]
    probe_period: Option<SimSpan>,
    /// Where requests wait: auto (as the autoscaler says), central (one line at the front door),
    /// per-instance (a line at each).
    #[arg(long, value_name = "auto|central|per-instance", default_value = "auto")]
    queue: String,
    /// How a request chooses its instance: least-loaded, first-available, round-robin, random-2.
    #[arg(long, value_name = "RULE")]
    balance: Option<String>,
    /// Most requests waiting at the front door.
    #[arg(long, value_name = "N")]
    front_door_capacity: Option<u32>,
    /// Most requests waiting at one instance [default: ten times the concurrency].
    #[arg(long, value_name = "N")]
    queue_depth: Option<u32>,
    /// Requests without an answer after this are given up.
    #[arg(long, value_name = "TIME", value_parser = span)]
    timeout: Option<SimSpan>,
    /// How often clients try again.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Pause of clients before they try again; doubles with every try.
    #[arg(long, value_name = "DIST")]
    backoff: Option<String>,
    /// How long an instance that must go may finish its requests.
    #[arg(long, value_name = "TIME", value_parser = span)]
    drain: Option<SimSpan>,
    /// Which instance goes first: newest, oldest, idlest, random.
    #[arg(long, value_name = "RULE")]
    victim: Option<String>,
    /// Instances ready at the beginning.
    #[arg(long, value_name = "N")]
    initial: Option<u32>,
    /// As `tidegate run` does: decide also while requests wait, and keep the last instance this
    /// long after the last request.
    #[arg(long, value_name = "IDLE", value_parser = span)]
    local: Option<SimSpan>,
    /// How late reports arrive.
    #[arg(long, value_name = "TIME", value_parser = span)]
    report_lag: Option<SimSpan>,
    /// Share of reports that are lost.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    report_loss: f64,
    /// Whose reports are used: all, or a random sample as Knative takes it.
    #[arg(long, value_name = "all|knative")]
    report_sampling: Option<String>,
    /// Nodes: CAPACITY,MIN,MAX and perhaps PROVISIONING, such as 10,1,20,const:60s.
    #[arg(long, value_name = "SPEC")]
    nodes: Option<String>,
    /// Something breaks: AT:instances=N, AT:node or AT:controller=TIME; again for more.
    #[arg(long, value_name = "SPEC")]
    fail: Vec<String>,
    /// Clients in a closed loop instead of arrivals: COUNT,THINK, such as 50,exp:1s.
    #[arg(long, value_name = "SPEC")]
    clients: Option<String>,
    /// When the simulation ends; otherwise with the last request.
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub(crate) duration: Option<SimSpan>,
    /// What happens before this is left out of the result.
    #[arg(long, value_name = "TIME", value_parser = span)]
    warm_up: Option<SimSpan>,
    /// Seed of all chance: the same seed gives the same result, to the bit.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

// === impl ModelArgs ===

impl ModelArgs {
    /// Everything but the traffic.
    pub(crate) fn scenario(&self, recording: Recording) -> anyhow::Result<Scenario> {
        Ok(Scenario {
            seed: self.seed,
            duration: self.duration,
            warm_up: self.warm_up.unwrap_or(SimSpan::ZERO),
            revision: self.model()?,
            nodes: self.nodes.as_deref().map(nodes).transpose()?,
            failures: self.fail.iter().map(|spec| failure(spec)).collect::<Result<_, _>>()?,
            clients: self.clients.as_deref().map(clients).transpose()?,
            recording,
            ..Scenario::default()
        })
    }

    /// Whether service times were said explicitly.
    pub(crate) fn says_service(&self) -> bool {
        self.service.is_some()
    }

    /// Whether clients in a closed loop make the requests.
    pub(crate) fn says_clients(&self) -> bool {
        self.clients.is_some()
    }

    fn model(&self) -> anyhow::Result<RevisionModel> {
        let mut model = self.plain_model()?;
        for pair in &self.set {
            let (key, value) = key_and_value("--set", pair)?;
            model.set(&key, &value).map_err(|problem| anyhow!("--set {pair}: {problem}"))?;
        }
        if let Some(target) = self.target {
            model.settings.insert("target".to_owned(), target.to_string());
        }
        Ok(model)
    }

    /// The model without what `--set` and `--target` say.
    fn plain_model(&self) -> anyhow::Result<RevisionModel> {
        let defaults = RevisionModel::default();
        let optional = |text: &Option<String>, option: &str, default: Distribution| match text {
            Some(text) => distribution(text).with_context(|| option.to_owned()),
            None => Ok(default),
        };
        let start = StartUp::default();
        let balance = self.balance.as_deref();
        Ok(RevisionModel {
            policy: policy(&self.policy)?,
            concurrency: self.concurrency,
            service: distribution(self.service.as_deref().unwrap_or(DEFAULT_SERVICE))
                .context("--service")?,
            contention: Contention::parse(&self.contention)
                .map_err(|problem| anyhow!("--contention: {problem}"))?,
            start_up: StartUp {
                schedule: optional(&self.schedule, "--schedule", start.schedule)?,
                pull: optional(&self.pull, "--pull", start.pull)?,
                start: distribution(&self.cold_start).context("--cold-start")?,
                probe_period: self.probe_period.unwrap_or(start.probe_period),
            },
            path: named(Some(&self.queue), "--queue", Path::from_name, defaults.path)?,
            balance: named(balance, "--balance", Balance::from_name, defaults.balance)?,
            front_door_balance: named(
                balance,
                "--balance",
                Balance::from_name,
                defaults.front_door_balance,
            )?,
            front_door_capacity: self.front_door_capacity.unwrap_or(defaults.front_door_capacity),
            queue_depth: self.queue_depth,
            timeout: self.timeout,
            retry: Retry {
                tries: self.retries,
                backoff: optional(&self.backoff, "--backoff", defaults.retry.backoff)?,
            },
            drain: self.drain.unwrap_or(defaults.drain),
            victim: named(self.victim.as_deref(), "--victim", Victim::from_name, defaults.victim)?,
            settings: BTreeMap::new(),
            initial: self.initial,
            platform: self.local.map_or(Platform::Cluster, |idle| Platform::Local { idle }),
            reporting: Reporting {
                lag: self.report_lag.unwrap_or(defaults.reporting.lag),
                loss: share("--report-loss", self.report_loss)?,
                sampling: named(
                    self.report_sampling.as_deref(),
                    "--report-sampling",
                    Sampling::from_name,
                    defaults.reporting.sampling,
                )?,
            },
        })
    }
}

/// The two sides of `KEY=VALUE`.
pub(crate) fn key_and_value(option: &str, pair: &str) -> anyhow::Result<(String, String)> {
    let (key, value) = pair
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| anyhow!("{option} {pair}: expected KEY=VALUE, such as target=10"))?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// A policy by its name.
pub(crate) fn policy(text: &str) -> anyhow::Result<PolicyChoice> {
    PolicyChoice::parse(text).map_err(|problem| anyhow!("--policy: {problem}"))
}

pub(crate) fn distribution(text: &str) -> anyhow::Result<Distribution> {
    Ok(Distribution::parse(text, &|path| std::fs::read_to_string(path))?)
}

fn share(option: &str, value: f64) -> anyhow::Result<f64> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    bail!("{option} {value}: expected a share from 0 to 1")
}

/// A value by its name, or `default` when none was typed.
fn named<T>(
    text: Option<&str>,
    option: &str,
    find: impl Fn(&str) -> Option<T>,
    default: T,
) -> anyhow::Result<T> {
    let Some(text) = text else { return Ok(default) };
    find(text).ok_or_else(|| anyhow!("{option} {text}: not a known name; see --help"))
}

fn nodes(text: &str) -> anyhow::Result<NodeModel> {
    let expected = || {
        anyhow!("--nodes {text}: expected CAPACITY,MIN,MAX[,PROVISIONING], as in 10,1,20,const:60s")
    };
    let mut parts = text.splitn(4, ',');
    let mut number = || parts.next().and_then(|part| part.trim().parse().ok()).ok_or_else(expected);
    let (capacity, min, max) = (number()?, number()?, number()?);
    let provisioning = distribution(parts.next().unwrap_or("const:60s")).context("--nodes")?;
    let idle = SimSpan::from_secs(600);
    Ok(NodeModel { capacity, min, max, provisioning, idle })
}

fn failure(text: &str) -> anyhow::Result<Failure> {
    let expected = || {
        anyhow!(
            "--fail {text}: expected AT:instances=N, AT:node or AT:controller=TIME, as in 10m:node"
        )
    };
    let (at, what) = text.split_once(':').ok_or_else(expected)?;
    let at = SimTime::ZERO + span(at).map_err(|_| expected())?;
    let kind = match what.split_once('=') {
        None if what == "node" => FailureKind::Node,
        Some(("instances", count)) => {
            FailureKind::Instances { revision: None, count: count.parse().map_err(|_| expected())? }
        }
        Some(("controller", down)) => {
            FailureKind::Controller { down: span(down).map_err(|_| expected())? }
        }
        _ => return Err(expected()),
    };
    Ok(Failure { at, kind })
}

fn clients(text: &str) -> anyhow::Result<Clients> {
    let expected = || anyhow!("--clients {text}: expected COUNT,THINK, as in 50,exp:1s");
    let (count, think) = text.split_once(',').ok_or_else(expected)?;
    Ok(Clients {
        count: count.parse().map_err(|_| expected())?,
        think: distribution(think).context("--clients")?,
        revision: "traffic".to_owned(),
    })
}
