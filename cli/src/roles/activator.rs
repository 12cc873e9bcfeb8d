//! `tidegate activator`: the activator as a process of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use tidegate_activator::memory::{BUDGET_BYTES_MIN, BadQuantity, ByteCount};
use tidegate_activator::metrics::Metrics;
use tidegate_activator::{Activator, CauseHeader, Config, Observer, RevisionName};
use tidegate_admin::{Readiness, Subject};
use tidegate_admission::{DispatcherSettings, Policy};
use tidegate_flags::log::ROLE_DEFAULT;
use tidegate_flags::{AdminArgs, LISTEN_VARIABLE, LogArgs, admin, listen_address};
use tidegate_knative::environment;
use tidegate_queue_proxy::shutdown_signals::ShutdownSignals;
use tidegate_telemetry::{Family, Registry};

use crate::abandoned::AbandonedRule;
use crate::drained;
use crate::typed::{authority, wait, whole};
use tidegate_flags::CredentialArgs;

/// What was typed after `tidegate activator`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen for requests.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:8012",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    /// The controller, which sends the addresses of instances and receives reports of load.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = environment::TIDEGATE_CONTROLLER,
        value_parser = authority
    )]
    controller: Option<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// Our name, unique among the activators of one controller.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    name: Option<String>,
    /// The revision that takes requests which name none.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "TIDEGATE_DEFAULT_REVISION")]
    default_revision: Option<Revision>,
    /// An instance known from the start: its revision, address and limit (0 or none: unlimited).
    #[arg(long = "endpoint", value_name = "NAMESPACE/NAME=IP:PORT[,LIMIT]")]
    endpoints: Vec<Endpoint>,
    /// How to choose among the instances that have room.
    #[arg(long, value_enum, default_value = "least-loaded")]
    policy: PolicyName,
    /// Requests that may wait for one revision at a time.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DispatcherSettings::default().max_waiting,
        value_parser = whole(0..=1_000_000u32)
    )]
    max_waiting: u32,
    /// How long a request may wait for an instance.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = wait)]
    longest_wait: Duration,
    /// How long a request may take until its response begins, waiting included.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = wait)]
    request_timeout: Duration,
    /// What happens to a slot when its client disconnects while the instance works.
    #[arg(long, value_enum, default_value = "hold", env = environment::TIDEGATE_ABANDONED)]
    abandoned: AbandonedRule,
    /// Most memory that clients and instances can make it hold at a time, such as 64Mi; a quarter
    /// of the memory limit, 80Mi at most, when absent.
    #[arg(
        long,
        value_name = "BYTES",
        env = environment::TIDEGATE_MEMORY_BUDGET,
        hide_short_help = true,
        value_parser = memory_budget
    )]
    memory_budget: Option<ByteCount>,
    /// Tell clients in the header tidegate-error why the activator responds itself.
    #[arg(
        long,
        env = environment::TIDEGATE_CAUSE_HEADER,
        hide_short_help = true,
        value_parser = BoolishValueParser::new()
    )]
    cause_header: bool,
    /// After SIGTERM, how long to go on accepting requests while clients switch to others.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = wait)]
    lame_duck: Duration,
    /// After that, how long requests in flight may take.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait)]
    drain: Duration,
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Parses a memory budget, and refuses one below the least that works.
fn memory_budget(text: &str) -> Result<ByteCount, String> {
    let least = ByteCount(BUDGET_BYTES_MIN);
    let bytes: ByteCount = text.parse().map_err(|error: BadQuantity| error.to_string())?;
    match bytes >= least {
        true => Ok(bytes),
        false => Err(format!("{bytes} is out of range, expected {least} or more")),
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PolicyName {
    /// The one with the fewest requests in flight.
    LeastLoaded,
    /// The first one that has room.
    FirstAvailable,
    /// One after the other.
    RoundRobin,
    /// The less loaded of two drawn at random.
    RandomOfTwo,
}

impl PolicyName {
    fn policy(self) -> Policy {
        match self {
            Self::LeastLoaded => Policy::LeastLoaded,
            Self::FirstAvailable => Policy::FirstAvailable,
            Self::RoundRobin => Policy::RoundRobin,
            // Several activators must not draw the same instances in the same order.
            Self::RandomOfTwo => Policy::RandomOfTwo { seed: std::process::id().into() },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Revision(RevisionName);

impl FromStr for Revision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self(RevisionName { namespace: namespace.into(), name: name.into() }))
            }
            _ => Err("expected NAMESPACE/NAME".to_owned()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    revision: RevisionName,
    address: SocketAddr,
    limit: u32,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected NAMESPACE/NAME=IP:PORT or NAMESPACE/NAME=IP:PORT,LIMIT".to_owned();
        let (revision, rest) = text.split_once('=').ok_or_else(expected)?;
        let Revision(revision) = revision.parse()?;
        let (address, limit) = rest.split_once(',').unwrap_or((rest, "0"));
        let address = address.parse().map_err(|_| expected())?;
        Ok(Self { revision, address, limit: limit.parse().map_err(|_| expected())? })
    }
}

impl Args {
    fn config(self) -> anyhow::Result<Config> {
        let mut config = Config::new(self.listen);
        config.credentials = self.credentials.credentials()?;
        config.controller = self.controller;
        config.name = self.name.unwrap_or(config.name);
        config.default_revision = self.default_revision.map(|Revision(revision)| revision);
        config.dispatch = DispatcherSettings {
            policy: self.policy.policy(),
            max_waiting: self.max_waiting,
            longest_wait: Some(self.longest_wait),
        };
        config.limits.response_start = Some(self.request_timeout);
        config.abandoned = self.abandoned.within(self.request_timeout);
        if let Some(ByteCount(bytes)) = self.memory_budget {
            config.memory_budget_bytes = bytes;
        }
        config.server.cause_header = match self.cause_header {
            true => CauseHeader::Shown,
            false => CauseHeader::Hidden,
        };
        config.endpoints = (1..)
            .zip(self.endpoints)
            .map(|(nth, Endpoint { revision, address, limit })| {
                let instance = format!("{}-{nth}", revision.name);
                let address = address.to_string();
                (revision, tidegate_activator::Endpoint { instance, address, limit })
            })
            .collect();
        Ok(config)
    }
}

/// Serves until a signal to stop, then drains.
pub(crate) fn execute(args: Args) -> anyhow::Result<ExitCode> {
    args.log.install(ROLE_DEFAULT);
    let (lame_duck, drain) = (args.lame_duck, args.drain);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = ShutdownSignals::new().context("cannot wait for signals")?;
        let registry = Registry::new();
        let admin = args.admin.bind()?;
        let mut config = args.config()?;
        config.metrics = Metrics::new(&registry);
        if config.controller.is_some() {
            config.metrics = config.metrics.with_report_stream(&registry);
        }
        let running = Activator::bind(config)?.spawn();
        eprintln!("tidegate activator: listening on {}", running.address());
        // Served until the end, so that the drain can be observed.
        let observed = Observed { registry, observer: running.observer() };
        let _admin = admin::serve("tidegate activator", admin, observed)?;
        signals.next().await;
        tracing::info!("told to end, draining; a second signal ends at once");
        running.announce_shutdown();
        let ending = async {
            tokio::time::sleep(lame_duck).await;
            running.drain(drain).await
        };
        let drained = tokio::select! {
            drained = ending => drained,
            signal = signals.next() => return Ok(signal.exit_code()),
        };
        if let Some(sentence) = drained::unfinished(drained, drain) {
            eprintln!("tidegate activator: {sentence}");
        }
        Ok(drained::exit_code(drained))
    })
}

/// An activator's metrics and readiness.
struct Observed {
    registry: Registry,
    observer: Observer,
}

impl Subject for Observed {
    async fn gather(&self) -> Vec<Family> {
        self.observer.refresh();
        self.registry.gather()
    }

    async fn readiness(&self) -> Readiness {
        self.observer.readiness().map_or_else(Readiness::not_ready, |()| Readiness::Ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_with_and_without_a_limit() {
        let endpoint: Endpoint = "prod/web=10.0.0.1:8012,5".parse().unwrap();
        assert_eq!((endpoint.revision.name.as_str(), endpoint.limit), ("web", 5));
        let endpoint: Endpoint = "prod/web=[::1]:8012".parse().unwrap();
        assert_eq!((endpoint.address.port(), endpoint.limit), (8012, 0));
        for bad in ["", "web=1.2.3.4:5", "a/b", "a/b=host:80", "a/b=1.2.3.4:5,x", "/b=1.2.3.4:5"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
