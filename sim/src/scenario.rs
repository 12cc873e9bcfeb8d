//! What is simulated: the model of an app, its platform and its clients. Plain data.
//!
//! Every field has a default that means "as little as possible": no contention, no timeout, no
//! retries, no nodes, instant start-up. A caller names what matters to its question.

mod describe;
mod failure;
mod in_turns;
mod memory;
mod node;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tidegate_autoscaler::Policy;

use crate::distribution::Distribution;
use crate::price::Prices;
use crate::time::SimSpan;

pub use failure::{Failure, FailureKind};
pub use in_turns::StartsInTurns;
pub use memory::megabytes;
pub use node::{NodeModel, Tenure};

/// Everything about a run except its traffic.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Seed of all chance in the run.
    pub seed: u64,
    /// When the simulation ends; `None` lets it run until the traffic has ended and every request
    /// has.
    pub duration: Option<SimSpan>,
    /// Requests that arrive before this, and levels until then, are left out of the result.
    pub warm_up: SimSpan,
    /// The model of every revision that `revisions` does not name.
    pub revision: RevisionModel,
    /// Models of single revisions, by name.
    pub revisions: BTreeMap<String, RevisionModel>,
    /// The kinds of machines that instances run on, the preferred one first; without any there is
    /// always room at once.
    pub nodes: Vec<NodeModel>,
    /// What instances meet on their way from being ordered to being ready.
    pub starts: StartModel,
    /// What breaks, and when.
    pub failures: Vec<Failure>,
    /// What things cost.
    pub prices: Prices,
    /// Clients that wait for each response before they send again, beside the traffic's arrivals.
    pub clients: Option<Clients>,
    /// How much is kept beside the result.
    pub recording: Recording,
}

/// How one revision behaves.
#[derive(Debug, Clone)]
pub struct RevisionModel {
    /// The policy that decides the number of instances.
    pub policy: PolicyChoice,
    /// Autoscaler settings by name: keys of `config-autoscaler` (`stable-window`) and annotations
    /// (`autoscaling.knative.dev/target`, or just `target`), as in production.
    pub settings: BTreeMap<String, String>,
    /// Requests one instance serves at a time; 0 means no limit.
    pub concurrency: u32,
    /// Service times of requests that bring none of their own.
    pub service: Distribution,
    /// How requests that share an instance slow each other.
    pub contention: Contention,
    /// The delays between the decision for an instance and its readiness.
    pub start_up: StartUp,
    /// Where requests wait, and the path they take.
    pub path: Path,
    /// How a request on the direct path chooses its instance.
    pub balance: Balance,
    /// How the activator chooses among the instances that have room.
    pub front_door_balance: Balance,
    /// Most requests queued at the activator; beyond it they are rejected.
    pub front_door_capacity: u32,
    /// Most requests waiting at one instance; `None` is ten times `concurrency`, as in production.
    pub queue_depth: Option<u32>,
    /// A request that has no answer after this long is given up; `None` waits for ever.
    pub timeout: Option<SimSpan>,
    /// What a client does after a rejection, a timeout or a loss.
    pub retry: Retry,
    /// An instance that must go is given this long for the requests it holds.
    pub drain: SimSpan,
    /// The order in which surplus instances are removed.
    pub victim: Victim,
    /// Instances that are there at time zero; `None` is the policy's own minimum.
    pub initial: Option<u32>,
    /// Of these, how many have just been started: all others are ready.
    pub initial_starting: u32,
    /// GPUs that one instance needs.
    pub gpus: u32,
    /// Memory of one instance, megabytes; `None` is what the traffic says of the revision, if it
    /// does.
    pub memory_mb: Option<f64>,
    /// How reports travel from instances to the autoscaler.
    pub reporting: Reporting,
    /// The platform that carries decisions out, and how soon it learns that requests wait.
    pub platform: Platform,
}

/// The platform that carries decisions out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Platform {
    /// A cluster: decisions at every tick, and at once only for a revision at zero.
    #[default]
    Cluster,
    /// `tidegate run` on one machine: the activator is always in the path, and reports at once
    /// that a queue forms or has doubled; the controller then decides at once.
    Local {
        /// How long the last instance stays after the last request.
        idle: SimSpan,
        /// How far the controller's clock is into a second when the activator's begins: each
        /// reports, or sums up, once a second by its own.
        into_second: SimSpan,
    },
}

/// The policy that decides the number of instances.
#[derive(Clone, Default)]
pub enum PolicyChoice {
    /// Knative's algorithm with its lifecycle, from the production library.
    #[default]
    Knative,
    /// The same algorithm with all of Tidegate's improvements.
    Tidegate,
    /// Always this many, ready from the beginning.
    Fixed(u32),
    /// One instance for each request in flight; an instance idle for this long is removed.
    KeepAlive(SimSpan),
    /// Kubernetes' HPA with its defaults, aiming for what Knative's algorithm would aim for.
    Hpa,
    /// Anyone's own.
    Custom(Arc<dyn CustomPolicy>),
}

/// Makes a policy of one's own for each revision.
pub trait CustomPolicy: Send + Sync {
    /// Name for the settings in the result.
    fn name(&self) -> String;

    /// A fresh policy for one revision of this model.
    fn policy(&self, model: &RevisionModel) -> Box<dyn Policy + Send>;
}

/// How requests that share an instance slow each other.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Contention {
    /// Not at all: they wait for something else than the CPU.
    #[default]
    None,
    /// They share `cores` processors equally; one request uses at most one.
    ProcessorSharing {
        /// The CPU limit of an instance.
        cores: f64,
    },
    /// With n at once each takes `1 + alpha (n - 1)` times as long.
    Linear {
        /// Slow-down per further request.
        alpha: f64,
    },
    /// With n at once each takes `factors[n - 1]` times as long; the last one holds beyond the end.
    Curve {
        /// Fitted slow-downs, first for one request alone.
        factors: Arc<[f64]>,
    },
}

/// What instances of all revisions share while they start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartModel {
    /// How start-ups slow each other that are in progress on one node; without nodes there is one
    /// machine. A start-up that is alone takes as long as its law says.
    pub contention: Contention,
    /// Instances that the control plane starts in a second, one after another; `None` is any
    /// number.
    pub per_second: Option<f64>,
    /// How many start at a time; `None` is any number.
    pub in_turns: Option<StartsInTurns>,
}

/// The delays before an instance is ready.
#[derive(Debug, Clone, PartialEq)]
pub struct StartUp {
    /// From the decision to a place on a node.
    pub schedule: Distribution,
    /// Fetching the image, only for the first instance of a revision on each node.
    pub pull: Distribution,
    /// From the process's start to its being able to answer.
    pub start: Distribution,
    /// The same for the first instances, one by one, where it is known; `start` for all others.
    pub in_order: Option<Arc<[Option<SimSpan>]>>,
    /// Readiness is noticed at multiples of this after the start; zero notices at once.
    pub probe_period: SimSpan,
}

/// Where requests wait, and the path they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// As the autoscaler decides: through the activator while spare capacity is short, else direct.
    #[default]
    Auto,
    /// Always through one activator with one queue (`admission::Dispatcher`).
    Central,
    /// Straight to an instance, each with its own queue (`admission::Breaker`), whenever one is
    /// ready.
    Direct,
}

/// How a request chooses its instance; the rules of `admission::Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests in flight.
    LeastLoaded,
    /// The oldest one that has room, so that the youngest fall idle.
    FirstAvailable,
    /// One after another.
    RoundRobin,
    /// The less loaded of two drawn at random, as service meshes do.
    RandomOfTwo,
}

/// What a client does after a rejection, a timeout or a loss.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Most retries; with 0 a client never tries again.
    pub tries: u32,
    /// Pause before the first further try; doubles with each one after it.
    pub backoff: Distribution,
}

/// The order in which surplus instances are removed; those not ready yet always go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Victim {
    /// The one that became ready last.
    #[default]
    Newest,
    /// The one that became ready first.
    Oldest,
    /// The one serving the fewest requests; among equals the newest.
    Idlest,
    /// Any.
    Random,
}

/// How reports travel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reporting {
    /// From the end of a period to the autoscaler's having it.
    pub lag: SimSpan,
    /// Share of reports lost, 0 to 1.
    pub loss: f64,
    /// Whose reports are used.
    pub sampling: Sampling,
}

/// Whose reports are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sampling {
    /// Everyone's.
    #[default]
    All,
    /// Of a random sample of the size Knative would take.
    Knative,
}

/// Clients in a closed loop: think, send, wait for the response, think again.
#[derive(Debug, Clone, PartialEq)]
pub struct Clients {
    /// How many.
    pub count: u32,
    /// Think time before each request.
    pub think: Distribution,
    /// The revision they send to, by name.
    pub revision: String,
}

/// How much is kept beside the result. All of it is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// For how many revisions, in order of first sight, to keep a series of their own.
    pub revision_series: u32,
    /// Whether to keep the series over all revisions.
    pub series: Keep,
    /// Most decisions kept. Of more those stay that changed the most, over the whole time and of
    /// every revision; the others are counted only.
    pub decisions: u32,
    /// Most times of cold starts kept; later ones are counted only.
    pub cold_starts: u32,
    /// What the result says of single revisions.
    pub detail: Detail,
}

/// What a result says of single revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Every figure, percentiles among them: from 100 bytes to 50 KB of counts for each, by how
    /// many different durations it had.
    #[default]
    Revisions,
    /// Nothing: the figures over all revisions are those of [`Detail::Revisions`], and the list of
    /// them is empty.
    Totals,
}

/// Whether to keep something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Keep it.
    Yes,
    /// Do without, and be faster.
    No,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            seed: 0,
            duration: None,
            warm_up: SimSpan::ZERO,
            revision: RevisionModel::default(),
            revisions: BTreeMap::new(),
            nodes: Vec::new(),
            starts: StartModel::default(),
            failures: Vec::new(),
            prices: Prices::default(),
            clients: None,
            recording: Recording::NOTHING,
        }
    }
}

impl Default for RevisionModel {
    fn default() -> Self {
        RevisionModel {
            policy: PolicyChoice::default(),
            settings: BTreeMap::new(),
            concurrency: 0,
            service: Distribution::Constant(SimSpan::from_millis(100)),
            contention: Contention::None,
            start_up: StartUp::default(),
            path: Path::Auto,
            balance: Balance::RandomOfTwo,
            front_door_balance: Balance::LeastLoaded,
            front_door_capacity: 10_000,
            queue_depth: None,
            timeout: None,
            retry: Retry::default(),
            drain: SimSpan::from_secs(300),
            victim: Victim::default(),
            initial: None,
            initial_starting: 0,
            gpus: 0,
            memory_mb: None,
            reporting: Reporting::default(),
            platform: Platform::default(),
        }
    }
}

impl RevisionModel {
    /// The service station of queueing theory: `instances` that are always there and take one
    /// request at a time each, and one queue without a bound before them. The other models whose
    /// exact results are known are made of it by changing a field.
    pub fn service_station(instances: u32, service: Distribution) -> Self {
        RevisionModel {
            policy: PolicyChoice::Fixed(instances),
            concurrency: 1,
            service,
            path: Path::Central,
            front_door_capacity: u32::MAX,
            ..RevisionModel::default()
        }
    }
}

impl Default for StartUp {
    fn default() -> Self {
        StartUp::total(Distribution::Constant(SimSpan::ZERO))
    }
}

impl StartUp {
    /// One distribution for the whole time from the decision to readiness.
    pub const fn total(start: Distribution) -> Self {
        StartUp {
            schedule: Distribution::Constant(SimSpan::ZERO),
            pull: Distribution::Constant(SimSpan::ZERO),
            start,
            in_order: None,
            probe_period: SimSpan::ZERO,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Retry { tries: 0, backoff: Distribution::Constant(SimSpan::from_millis(100)) }
    }
}

impl Default for Reporting {
    fn default() -> Self {
        Reporting { lag: SimSpan::ZERO, loss: 0.0, sampling: Sampling::All }
    }
}

impl Recording {
    /// Only the result.
    pub const NOTHING: Recording = Recording {
        revision_series: 0,
        series: Keep::No,
        decisions: 0,
        cold_starts: 0,
        detail: Detail::Revisions,
    };

    /// What an HTML report shows.
    pub const REPORT: Recording = Recording {
        // Each takes up to half a megabyte; those of the busiest are what a page has room for.
        revision_series: 300,
        series: Keep::Yes,
        decisions: 20_000,
        cold_starts: 20_000,
        detail: Detail::Revisions,
    };
}

impl fmt::Debug for PolicyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PolicyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyChoice::Knative => f.write_str("kpa"),
            PolicyChoice::Tidegate => f.write_str("tidegate"),
            PolicyChoice::Fixed(count) => write!(f, "fixed:{count}"),
            PolicyChoice::KeepAlive(span) => write!(f, "keep-alive:{}s", span.as_secs_f64()),
            PolicyChoice::Hpa => f.write_str("hpa"),
            PolicyChoice::Custom(policy) => f.write_str(&policy.name()),
        }
    }
}
