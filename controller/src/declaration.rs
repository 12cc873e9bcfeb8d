//! What a revision is: how it is scaled, and how its instances are started.

mod custom;
mod queue_rules;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_autoscaler::history::HistoryEntry;
use tidegate_autoscaler::hpa::{HpaPolicy, HpaSettings};
use tidegate_autoscaler::lifecycle::{DEFAULT_PROGRESS_DEADLINE, LifecycleSpec, ZeroScale};
use tidegate_autoscaler::settings::{
    Config, HPA_CLASS, HpaObject, Overrides, Reachability, Resolved, Strictness, Violation,
    Violations, Workload,
};
use tidegate_autoscaler::{
    FixedPolicy, Improvements, KeepAlivePolicy, MetricSpec, Policy, RevisionAutoscaler,
    RevisionSettings, Timestamp,
};

use crate::identity::RevisionId;

pub use custom::{Custom, CustomPolicy};
pub(crate) use queue_rules::to_wire as queue_rules_to_wire;
pub use tidegate_admission::{QueueClass, QueueOrder, QueueRules};

/// A revision to be scaled.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// Its name.
    pub id: RevisionId,
    /// The policy that decides how many instances there should be.
    pub policy: PolicyChoice,
    /// Scale bounds, and the settings of scale to zero.
    pub lifecycle: LifecycleSpec,
    /// Requests that one instance takes at a time; 0 is unlimited.
    pub container_concurrency: u32,
    /// How activators take its requests besides those that name it; by default they do not.
    pub activator_ports: ActivatorPorts,
    /// How requests of it are held at activators.
    pub hold: HoldBounds,
    /// Whose turn it is there while several wait.
    pub queue: QueueRules,
    /// How to start instances; `None` when another system starts them.
    pub launch: Option<std::sync::Arc<Launch>>,
    /// How long an instance may take to become ready, in milliseconds.
    pub start_deadline_ms: u64,
}

/// How many requests of a revision each activator holds while they wait for an instance, and for
/// how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldBounds {
    /// Requests that may wait; 0 is as many as the activator is configured for.
    pub max_waiting: u32,
    /// Longest wait in milliseconds; 0 is as long as the activator is configured for.
    pub longest_wait_ms: u32,
}

/// Ports of activators that belong to one revision, and what becomes of their connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivatorPorts {
    /// Ports whose connections carry HTTP, with or without the name of the revision.
    pub http: Vec<u16>,
    /// Ports whose connections are passed on as they are.
    pub tcp: Vec<TcpPort>,
    /// Where new connections of clients lead.
    pub mode: ServiceMode,
    /// Where the revision's queue-proxies may hand on requests that would wait for long: one of the
    /// HTTP ports at every activator. With none, requests wait where they came.
    pub overflow: Vec<SocketAddr>,
}

impl ActivatorPorts {
    /// Whether activators listen in the same way.
    pub(crate) fn is_listened_on_like(&self, other: &Self) -> bool {
        self.http == other.http && self.tcp == other.tcp && self.mode == other.mode
    }
}

/// A port whose connections are passed on, byte for byte, to one of the instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpPort {
    /// The activators' port.
    pub port: u16,
    /// Where instances take such connections. While there is none they are held.
    pub addresses: Vec<SocketAddr>,
}

/// Where new connections of clients lead, in the words of Knative's ServerlessService.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServiceMode {
    /// To activators, at least some of them.
    #[default]
    Proxy,
    /// To the instances: activators let go of the connections that they still have.
    Serve,
}

impl Declaration {
    /// Whether the other one scales the same revision in the same way, wherever its requests come
    /// in.
    pub(crate) fn decides_like(&self, other: &Self) -> bool {
        self.policy == other.policy
            && self.lifecycle == other.lifecycle
            && self.container_concurrency == other.container_concurrency
            && self.launch.is_none()
            && other.launch.is_none()
    }
}

/// What decides how many instances there should be.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyChoice {
    /// Knative's algorithm, with Tidegate's improvements or without.
    Knative(RevisionSettings),
    /// Always this many.
    Fixed {
        /// Instances wanted, whatever the load.
        instances: u32,
    },
    /// One instance for each request in flight, kept for a while.
    KeepAlive {
        /// How long an idle instance is kept, in milliseconds.
        idle_ms: u64,
    },
    /// Kubernetes' HPA.
    Hpa(HpaSettings),
    /// A policy of the program that embeds the controller.
    Custom(Custom),
}

impl PolicyChoice {
    /// The policy, which decides at `now` for the first time, with `ready` instances there and
    /// the past as far as it is known.
    pub(crate) fn build(
        &self,
        now: Timestamp,
        ready: u32,
        history: &[HistoryEntry],
    ) -> Box<dyn Policy + Send> {
        match self {
            &Self::Knative(settings) => {
                let built = match history {
                    // Knative starts in panic mode when it finds instances, because it has no
                    // history.
                    [] => RevisionAutoscaler::new(settings, now, ready),
                    known => RevisionAutoscaler::rebuild(settings, known, now),
                };
                match built {
                    Ok(autoscaler) => Box::new(autoscaler),
                    // Windows are checked when a declaration is made; one built by hand with
                    // windows that cannot be holds what is there.
                    Err(_) => Box::new(FixedPolicy::new(ready)),
                }
            }
            Self::Fixed { instances } => Box::new(FixedPolicy::new(*instances)),
            Self::KeepAlive { idle_ms } => Box::new(KeepAlivePolicy::new(*idle_ms)),
            Self::Hpa(settings) => match HpaPolicy::new(settings.clone()) {
                Ok(mut policy) => {
                    for entry in history {
                        policy.record(entry.at, entry.origin, &entry.sample);
                    }
                    Box::new(policy)
                }
                Err(_) => Box::new(FixedPolicy::new(ready)),
            },
            Self::Custom(custom) => custom.policy(now, ready, history),
        }
    }

    /// Seconds of the past that the policy uses.
    pub(crate) fn history_seconds(&self) -> u32 {
        match self {
            Self::Knative(settings) => {
                u32::try_from(settings.history_ms().div_ceil(1_000)).unwrap_or(u32::MAX)
            }
            Self::Fixed { .. } | Self::KeepAlive { .. } => 1,
            Self::Hpa(settings) => {
                u32::try_from(settings.metrics_window_ms.div_ceil(1_000)).unwrap_or(u32::MAX)
            }
            Self::Custom(custom) => custom.history_seconds(),
        }
    }
}

/// How long an instance may take to become ready, unless the declaration sets another time.
pub const START_DEADLINE_MS: u64 = 60_000;

/// The settings that declarations are made from: Knative's keys and annotations.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// The cluster's settings.
    pub config: Config,
    /// The revision's own, by their full names.
    pub annotations: BTreeMap<String, String>,
    /// Where to decide otherwise than Knative.
    pub improvements: Improvements,
}

impl Template {
    /// The declaration of a revision whose instances take `container_concurrency` requests at a
    /// time (0 is unlimited).
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the annotations, at once.
    pub fn declare(
        &self,
        id: RevisionId,
        container_concurrency: u32,
    ) -> Result<Declaration, Violations> {
        let overrides = Overrides::parse(&self.annotations, &self.config, Strictness::Strict)?;
        let reachability = Reachability::Reachable;
        let workload = Workload { container_concurrency, reachability };
        let resolved = Resolved::new(&self.config, &overrides, workload);
        let mut lifecycle =
            LifecycleSpec::new(&self.config, &resolved, reachability, DEFAULT_PROGRESS_DEADLINE);
        // A reporter that is expected and sends nothing is silent, not idle, also where an
        // activator sees every request.
        let metric = MetricSpec { scraped: true, ..resolved.windows };
        let improvements = self.improvements;
        let settings = RevisionSettings { spec: resolved.spec, metric, improvements };
        let policy = match &resolved.hpa {
            Some(object) => {
                // The HPA has no scale of zero: it is disabled there.
                lifecycle.zero_scale = ZeroScale::Forbidden;
                lifecycle.bounds.min = lifecycle.bounds.min.max(1);
                PolicyChoice::Hpa(hpa_settings(object, overrides.target)?)
            }
            None => PolicyChoice::Knative(settings),
        };
        Ok(Declaration {
            id,
            policy,
            lifecycle,
            container_concurrency,
            activator_ports: ActivatorPorts::default(),
            hold: HoldBounds::default(),
            queue: QueueRules::default(),
            launch: None,
            start_deadline_ms: START_DEADLINE_MS,
        })
    }
}

/// The settings of an HPA object, where they can be followed: instances report concurrency and
/// requests per second, but not CPU or memory.
fn hpa_settings(object: &HpaObject, target: Option<f64>) -> Result<HpaSettings, Violations> {
    let metric = object.metric.as_ref().map_or("cpu", |metric| metric.name.as_str());
    if matches!(metric, "concurrency" | "rps") {
        return Ok(HpaSettings::of_object(object, target));
    }
    let expected = "concurrency or rps, with a target: nothing else is reported here";
    Err(Violations::one(Violation {
        key: format!("metric of the class {HPA_CLASS}"),
        value: metric.to_owned(),
        expected: expected.to_owned(),
    }))
}

/// How to start an instance on this machine.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Program and arguments; `{PORT}` in an argument becomes the port to listen on.
    pub command: Vec<OsString>,
    /// What the app is told that its service is called; the name of the revision when `None`.
    pub service: Option<String>,
    /// Added to the environment, on top of `PORT`; `{PORT}` in a value becomes the port.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory; the controller's own when `None`.
    pub directory: Option<PathBuf>,
    /// The port that the app listens on whatever it is told; a free one when `None`. With it there
    /// is one instance at a time: the next one starts once the last process of the one before it
    /// has ended.
    pub port: Option<u16>,
    /// Who runs the app, if not who runs this.
    pub user: Option<UserIds>,
    /// What an instance may use. Any limit needs
    /// [`prepare_limits`](crate::process::prepare_limits) before the first instance.
    pub limits: Limits,
    /// When an instance takes requests.
    pub readiness: Readiness,
    /// What becomes of an instance that is not wanted any more.
    pub idle_mode: IdleMode,
    /// Requests at a time; 0 is unlimited.
    pub container_concurrency: u32,
    /// Longest time of one request; `None` is unlimited.
    pub request_timeout: Option<Duration>,
    /// How long a draining instance waits for a late request.
    pub quiet_period: Duration,
    /// How long a draining instance may take to finish what it has.
    pub grace_period: Duration,
    /// How long the app may take to end after its SIGTERM.
    pub stop_deadline: Duration,
    /// An instance that is not ready after this long is diagnosed, and the cause is reported.
    pub patience: Duration,
    /// Further settings for the sidecar, by the names of its environment variables.
    pub sidecar_environment: Vec<(OsString, OsString)>,
}

/// What becomes of an instance that is not wanted any more and has no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdleMode {
    /// It ends.
    #[default]
    Stop,
    /// Its processes stay in memory and get no time until they are wanted again.
    Freeze,
}

/// When an instance takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Once its port accepts a connection.
    Tcp,
    /// Once the app responds to this path (with a leading `/`) with 200 to 399.
    Http(String),
    /// Once the app's gRPC health service says that this service of it serves; empty is all of it.
    Grpc(String),
    /// Once its port accepts a connection and this command ends well; `{PORT}` in it becomes the
    /// port. The command is run again now and then, and takes the readiness back.
    Exec(Vec<OsString>),
    /// Once its port accepts a connection and the app has written a line with this in it: `*`
    /// stands for anything, `{PORT}` for the port.
    LogLine(String),
}

impl Readiness {
    /// Whether a queue-proxy sees all of it: otherwise the actuator proves the rest.
    pub(crate) fn is_seen_from_outside(&self) -> bool {
        match self {
            Self::Tcp | Self::Http(_) | Self::Grpc(_) => true,
            Self::Exec(_) | Self::LogLine(_) => false,
        }
    }
}

/// What one instance may use; `None` is as much as there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time of processors, in thousandths of one.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u32>,
}

/// A user of the system, by numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIds {
    /// The user.
    pub user: u32,
    /// The user's group.
    pub group: u32,
    /// Further groups.
    pub groups: Vec<u32>,
}

impl Launch {
    /// The program, for people.
    pub(crate) fn program(&self) -> String {
        let program = self.command.first().map(|program| program.to_string_lossy().into_owned());
        program.unwrap_or_default()
    }

    /// A number that is another one for another launch, or for another version of this library.
    #[must_use]
    pub fn digest(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (env!("CARGO_PKG_VERSION"), format!("{self:?}")).hash(&mut hasher);
        hasher.finish()
    }

    /// How to start `command` with everything else as it is by default.
    #[must_use]
    pub fn new(command: Vec<OsString>) -> Self {
        Self {
            command,
            service: None,
            environment: Vec::new(),
            directory: None,
            port: None,
            user: None,
            limits: Limits::default(),
            readiness: Readiness::Tcp,
            idle_mode: IdleMode::Stop,
            container_concurrency: 0,
            request_timeout: None,
            // The activator's list changes before the instance is stopped, so only requests that
            // were already sent can still arrive.
            quiet_period: Duration::from_millis(500),
            grace_period: Duration::from_secs(30),
            stop_deadline: Duration::from_secs(10),
            patience: Duration::from_secs(2),
            sidecar_environment: Vec::new(),
        }
    }
}
