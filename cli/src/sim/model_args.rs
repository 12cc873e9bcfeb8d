//! What is simulated: the app, its platform and its clients.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use tidegate_autoscaler::settings::ANNOTATION_PREFIX;
use tidegate_sim::price::Prices;
use tidegate_sim::scenario::{
    Balance, Clients, Contention, Failure, NodeModel, Path, Reporting, Retry, Sampling, StartModel,
    StartUp, StartsInTurns, Victim, megabytes,
};
use tidegate_sim::seeds::Effort;
use tidegate_sim::{Distribution, PolicyChoice, Recording, RevisionModel, Scenario, SimSpan};
use tidegate_words::excerpt;

use super::as_recorded::{AsRecorded, unrecorded};
use super::revision_settings;
use crate::typed::{above_zero, setting, share, span, span_above_zero, whole};
use tidegate_flags::files::text_of;

/// Most seeds: an interval is then a thirtieth of what the seeds differ by.
const SEEDS_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// How starts take turns, or that they do not.
#[derive(Debug, Clone, Copy, PartialEq)]
struct InTurns(Option<StartsInTurns>);

fn in_turns(text: &str) -> Result<InTurns, String> {
    StartsInTurns::parse(text).map(InTurns)
}

/// Options that describe the model. All have defaults that mean as little as possible.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// The policy: kpa (Knative's algorithm), tidegate (the same with all improvements), hpa
    /// (Kubernetes' autoscaler), fixed:N, keep-alive:TIME [default: kpa, or as recorded].
    #[arg(long, value_name = "POLICY", value_parser = PolicyChoice::parse)]
    policy: Option<PolicyChoice>,
    /// A setting of the autoscaler: a key of config-autoscaler or an annotation; again for more.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Target of the autoscaler for each instance; the same as --set target=X.
    #[arg(long, value_name = "N", value_parser = above_zero)]
    target: Option<f64>,
    /// Requests an instance serves at a time; 0 means no limit [default: 0, or as recorded].
    #[arg(short = 'c', long, value_name = "N", value_parser = whole(0..=1_000_000u32))]
    concurrency: Option<u32>,
    /// Service times of requests that bring none of their own: const:, exp:, lognormal:MEAN,SD,
    /// normal:, uniform:, weibull:, empirical:FILE [default: const:100ms].
    #[arg(long, value_name = "DIST", value_parser = distribution)]
    service: Option<Distribution>,
    /// How requests in one instance slow each other: none, ps:CORES, linear:ALPHA or
    /// curve:1,1.2,... [default: none].
    #[arg(long, value_name = "LAW", value_parser = Contention::parse)]
    contention: Option<Contention>,
    /// From the start of an instance to its being ready [default: const:1s, or as recorded].
    #[arg(long, value_name = "DIST", value_parser = distribution)]
    cold_start: Option<Distribution>,
    /// How start-ups on one node slow each other: a law as for --contention [default: none, or as
    /// recorded].
    #[arg(long, value_name = "LAW", value_parser = Contention::parse)]
    start_contention: Option<Contention>,
    /// Instances that the control plane starts in a second, one after another [default: any number,
    /// or as recorded].
    #[arg(long, value_name = "N", value_parser = above_zero)]
    starts_per_second: Option<f64>,
    /// Instances that start at a time, as `tidegate run` paces them: a number, a number and a comma
    /// and how many a second more may start because the machine has time left, or all [default:
    /// all, or as recorded].
    #[arg(long, value_name = "N", value_parser = in_turns)]
    starts_at_once: Option<InTurns>,
    /// From the decision for an instance to its place on a node.
    #[arg(long, value_name = "DIST", value_parser = distribution)]
    schedule: Option<Distribution>,
    /// Fetching the image, once on each node.
    #[arg(long, value_name = "DIST", value_parser = distribution)]
    pull: Option<Distribution>,
    /// Readiness is noticed at multiples of this.
    #[arg(long, value_name = "TIME", value_parser = span)]
    probe_period: Option<SimSpan>,
    /// Where requests wait: auto (as the autoscaler decides), central (one queue at the activator),
    /// per-instance (a queue at each).
    #[arg(long, value_name = "WHERE", value_parser = Path::parse)]
    queue: Option<Path>,
    /// How a request chooses its instance: least-loaded, first-available, round-robin, random-2.
    #[arg(long, value_name = "RULE", value_parser = Balance::parse)]
    balance: Option<Balance>,
    /// Most requests waiting at the activator.
    #[arg(long, value_name = "N", value_parser = whole(0..=u32::MAX))]
    front_door_capacity: Option<u32>,
    /// Most requests waiting at one instance [default: ten times the concurrency].
    #[arg(long, value_name = "N", value_parser = whole(0..=u32::MAX))]
    queue_depth: Option<u32>,
    /// Requests without a response after this time out.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero)]
    timeout: Option<SimSpan>,
    /// How often clients try again.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(0..=1_000u32))]
    retries: u32,
    /// Pause of clients before they try again; doubles with every try.
    #[arg(long, value_name = "DIST", value_parser = distribution)]
    backoff: Option<Distribution>,
    /// How long an instance that must go may finish its requests.
    #[arg(long, value_name = "TIME", value_parser = span)]
    drain: Option<SimSpan>,
    /// Which instance is removed first: newest, oldest, idlest, random.
    #[arg(long, value_name = "RULE", value_parser = Victim::parse)]
    victim: Option<Victim>,
    /// Instances ready at the beginning.
    #[arg(long, value_name = "N", value_parser = whole(0..=1_000_000u32))]
    initial: Option<u32>,
    /// As `tidegate run` does: decide also while requests wait, and keep the last instance this
    /// long after the last request.
    #[arg(long, value_name = "TIME", value_parser = span)]
    local: Option<SimSpan>,
    /// How late reports arrive.
    #[arg(long, value_name = "TIME", value_parser = span)]
    report_lag: Option<SimSpan>,
    /// Share of reports that are lost.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    report_loss: f64,
    /// Whose reports are used: all, or a random sample as Knative takes it.
    #[arg(long, value_name = "WHOSE", value_parser = Sampling::parse)]
    report_sampling: Option<Sampling>,
    /// Nodes: CAPACITY,MIN,MAX and perhaps PROVISIONING, such as 10,1,20,const:60s, behind a name
    /// and a colon where they have one; behind blanks perhaps price=, speed=, gpus=, idle= and
    /// spot. Again for more kinds, the preferred one first.
    #[arg(long, value_name = "SPEC", value_parser = NodeModel::parse)]
    nodes: Vec<NodeModel>,
    /// GPUs that an instance needs.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole(0..=1_000u32))]
    instance_gpus: u32,
    /// Memory of an instance, such as 512MB or 2GB; otherwise what --memory says of its function.
    #[arg(long, value_name = "SIZE", value_parser = megabytes)]
    instance_memory: Option<f64>,
    /// Settings of single revisions, as recommend --per-revision writes them:
    /// revision,setting,value in each row.
    #[arg(long, value_name = "FILE")]
    revision_settings: Option<PathBuf>,
    /// What things cost: WHAT=PRICE in any currency, where WHAT is instance-hour, gb-hour,
    /// node-hour, gpu-hour or million-requests; again, or behind commas, for more.
    #[arg(long, value_name = "WHAT=PRICE", value_parser = Prices::parse)]
    price: Vec<Prices>,
    /// Something breaks: AT:instances=N, AT:instances=30%, AT:node, AT:nodes=30% or
    /// AT:controller=TIME, perhaps with :every=TIME and :notice=TIME behind; again for more.
    #[arg(long, value_name = "SPEC", value_parser = Failure::parse)]
    fail: Vec<Failure>,
    /// Clients in a closed loop instead of arrivals: COUNT,THINK, such as 50,exp:1s.
    #[arg(long, value_name = "SPEC", value_parser = clients)]
    clients: Option<Clients>,
    /// When the simulation ends; otherwise with the last request.
    #[arg(long, value_name = "TIME", value_parser = span_above_zero)]
    pub(crate) duration: Option<SimSpan>,
    /// What happens before this is left out of the result.
    #[arg(long, value_name = "TIME", value_parser = span)]
    warm_up: Option<SimSpan>,
    /// Seed of all chance: the same seed gives the same result, to the bit.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(0..=u64::MAX))]
    pub(crate) seed: u64,
    /// Run with so many seeds, from --seed on, and say the mean of each figure and its 95 %
    /// interval.
    #[arg(long, value_name = "N", value_parser = whole(NonZeroUsize::MIN..=SEEDS_MAX))]
    seeds: Option<NonZeroUsize>,
}

impl ModelArgs {
    /// Everything but the traffic: as that was recorded, if it was, but for what is said here.
    pub(crate) fn scenario(
        &self,
        recording: Recording,
        recorded: Option<&AsRecorded>,
    ) -> anyhow::Result<Scenario> {
        let starts = recorded.map(|recorded| recorded.starts.clone()).unwrap_or_default();
        let mut scenario = Scenario {
            seed: self.seed,
            duration: self.duration.or(recorded.and_then(|recorded| recorded.duration)),
            warm_up: self.warm_up.unwrap_or(SimSpan::ZERO),
            revision: self.plain_model(recorded.map(|recorded| &recorded.model)),
            nodes: self.nodes.clone(),
            starts: StartModel {
                contention: self.start_contention.clone().unwrap_or(starts.contention),
                per_second: self.starts_per_second.or(starts.per_second),
                in_turns: self.starts_at_once.map_or(starts.in_turns, |InTurns(turns)| turns),
            },
            failures: self.fail.clone(),
            prices: self.prices(),
            clients: self.clients.clone(),
            recording,
            ..Scenario::default()
        };
        self.set(&mut scenario)?;
        if let Some(recorded) = recorded {
            recorded.tell(&scenario.revision, &scenario.starts);
        }
        if let Some(path) = &self.revision_settings {
            revision_settings::apply(path, &mut scenario)?;
        }
        Ok(scenario)
    }

    /// How often everything is run: with one seed unless more were asked for, on `threads`.
    pub(crate) fn effort(&self, threads: NonZeroUsize) -> Effort {
        self.effort_or(NonZeroUsize::MIN, threads)
    }

    /// The same, with `seeds` unless the number was given.
    pub(crate) fn effort_or(&self, seeds: NonZeroUsize, threads: NonZeroUsize) -> Effort {
        Effort { seeds: self.seeds.unwrap_or(seeds), threads }
    }

    /// All prices together; of one that was given twice, the last counts.
    pub(crate) fn prices(&self) -> Prices {
        self.price.iter().fold(Prices::default(), |before, price| price.or(before))
    }

    /// Whether service times were given explicitly.
    pub(crate) fn says_service(&self) -> bool {
        self.service.is_some()
    }

    /// Whether clients in a closed loop make the requests.
    pub(crate) fn says_clients(&self) -> bool {
        self.clients.is_some()
    }

    /// Applies `--set` and `--target`.
    fn set(&self, scenario: &mut Scenario) -> anyhow::Result<()> {
        for (key, value) in &self.set {
            forget(&mut scenario.revision.settings, key);
            scenario.set(key, value).map_err(|problem| {
                anyhow!("--set {}: {problem}", excerpt(&format!("{key}={value}")))
            })?;
        }
        let model = &mut scenario.revision;
        if let Some(target) = self.target {
            forget(&mut model.settings, "target");
            model.settings.insert("target".to_owned(), target.to_string());
        }
        model.check().map_err(|problem| anyhow!("--set: {problem}"))
    }

    /// The model without `--set` and `--target`.
    fn plain_model(&self, recorded: Option<&RevisionModel>) -> RevisionModel {
        let base = recorded.cloned().unwrap_or_else(unrecorded);
        let or = |law: &Option<Distribution>, base: Distribution| law.clone().unwrap_or(base);
        // Whoever says how many are there says that they are ready.
        let initial_starting = if self.initial.is_some() { 0 } else { base.initial_starting };
        RevisionModel {
            policy: self.policy.clone().unwrap_or(base.policy),
            concurrency: self.concurrency.unwrap_or(base.concurrency),
            service: or(&self.service, base.service),
            contention: self.contention.clone().unwrap_or(base.contention),
            start_up: StartUp {
                schedule: or(&self.schedule, base.start_up.schedule),
                pull: or(&self.pull, base.start_up.pull),
                start: or(&self.cold_start, base.start_up.start),
                in_order: base.start_up.in_order.filter(|_| self.cold_start.is_none()),
                probe_period: self.probe_period.unwrap_or(base.start_up.probe_period),
            },
            path: self.queue.unwrap_or(base.path),
            balance: self.balance.unwrap_or(base.balance),
            front_door_balance: self.balance.unwrap_or(base.front_door_balance),
            front_door_capacity: self.front_door_capacity.unwrap_or(base.front_door_capacity),
            queue_depth: self.queue_depth.or(base.queue_depth),
            timeout: self.timeout.or(base.timeout),
            retry: Retry { tries: self.retries, backoff: or(&self.backoff, base.retry.backoff) },
            drain: self.drain.unwrap_or(base.drain),
            victim: self.victim.unwrap_or(base.victim),
            settings: base.settings,
            initial: self.initial.or(base.initial),
            initial_starting,
            gpus: self.instance_gpus,
            memory_mb: self.instance_memory,
            platform: self.local.map_or(base.platform, |idle| base.platform.local(idle)),
            reporting: Reporting {
                lag: self.report_lag.unwrap_or(base.reporting.lag),
                loss: self.report_loss,
                sampling: self.report_sampling.unwrap_or(base.reporting.sampling),
            },
        }
    }
}

/// Takes a setting out, with its domain or without.
fn forget(settings: &mut BTreeMap<String, String>, key: &str) {
    let bare = |name: &str| name.strip_prefix(ANNOTATION_PREFIX).unwrap_or(name).to_owned();
    settings.retain(|known, _| bare(known) != bare(key));
}

/// A law of times, its file read if it names one.
pub(crate) fn distribution(text: &str) -> Result<Distribution, String> {
    let read = |path: &str| text_of(std::path::Path::new(path));
    Distribution::parse(text, &read).map_err(|problem| problem.to_string())
}

fn clients(text: &str) -> Result<Clients, String> {
    let expected = || "expected COUNT,THINK, as in 50,exp:1s".to_owned();
    let (count, think) = text.split_once(',').ok_or_else(expected)?;
    Ok(Clients {
        count: count.trim().parse().map_err(|_| expected())?,
        think: distribution(think)?,
        revision: "traffic".to_owned(),
    })
}
