//! What is typed behind the activator's name, and the configuration that it makes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use tidegate_activator::memory::{BUDGET_BYTES_MIN, BadQuantity, ByteCount};
use tidegate_activator::{
    CauseHeader, Config, FrontDoors, HeaderValue, KnativeAddress, RevisionName, ServerTimingHeader,
};
use tidegate_admission::Policy;
use tidegate_flags::values::{authorities, wait};
use tidegate_flags::{
    AdminArgs, CredentialArgs, LISTEN_VARIABLE, LogArgs, PushArgs, listen_address,
};
use tidegate_knative::environment;

use crate::abandoned::AbandonedRule;
use crate::entrance::EntranceArgs;
use crate::queue_args::{OverflowArgs, QueueArgs};
use crate::revision::Revision;

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen for requests.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0:8012",
        env = LISTEN_VARIABLE,
        value_parser = listen_address
    )]
    listen: SocketAddr,
    /// The controller, which sends the addresses of instances and receives reports of load; of
    /// several with commas between, the one that is there. Those of several shards have semicolons
    /// between.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = environment::TIDEGATE_CONTROLLER,
        value_parser = authorities
    )]
    controller: Option<String>,
    #[command(flatten)]
    credentials: CredentialArgs,
    /// A Knative autoscaler that is told of the load as well, as Knative's activators tell it.
    #[arg(long, value_name = "HOST:PORT", hide_short_help = true)]
    knative_autoscaler: Option<KnativeAddress>,
    /// Our name, unique among the activators of one controller.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub(crate) name: Option<String>,
    /// The revision that takes requests which name none.
    #[arg(long, value_name = "NAMESPACE/NAME", env = "TIDEGATE_DEFAULT_REVISION")]
    default_revision: Option<Revision>,
    /// An instance known from the start: its revision, address and limit (0 or none: unlimited).
    #[arg(long = "endpoint", value_name = "NAMESPACE/NAME=IP:PORT[,LIMIT]")]
    endpoints: Vec<Endpoint>,
    /// Where requests go by host, path, shares and more: a file that is read again when it changes.
    /// A controller that has routes sends them, and they take its place.
    #[arg(long, value_name = "FILE")]
    pub(crate) routes: Option<PathBuf>,
    /// How to choose among the instances that have room.
    #[arg(long, value_enum, default_value = "least-loaded")]
    policy: PolicyName,
    #[command(flatten)]
    queue: QueueArgs,
    /// How long a request may take until its response begins, waiting included.
    #[arg(long, value_name = "TIME", default_value = "300s", value_parser = wait)]
    request_timeout: Duration,
    #[command(flatten)]
    overflow: OverflowArgs,
    /// A secret that the sidecars share: they know this activator by it, believe what it says of
    /// clients, and grant it credits, so that their limits are exact behind several activators.
    #[arg(
        long,
        value_name = "SECRET",
        env = environment::TIDEGATE_FRONT_DOOR,
        hide_env_values = true,
        hide_short_help = true,
        value_parser = front_door
    )]
    front_door: Option<HeaderValue>,
    /// What happens to a slot when its client disconnects while the instance works.
    #[arg(
        long,
        value_enum,
        default_value = "hold",
        env = environment::TIDEGATE_ABANDONED,
        hide_short_help = true
    )]
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
    /// Tell clients in the header Server-Timing where the time of a cold start went.
    #[arg(
        long,
        env = "TIDEGATE_SERVER_TIMING",
        hide_short_help = true,
        value_parser = BoolishValueParser::new()
    )]
    server_timing: bool,
    /// After SIGTERM, how long to go on accepting requests while clients switch to others.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = wait)]
    pub(crate) lame_duck: Duration,
    /// After that, how long requests in flight may take.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = wait)]
    pub(crate) drain: Duration,
    #[command(flatten)]
    entrance: EntranceArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    #[command(flatten)]
    pub(crate) push: PushArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Parses the secret that is shared with the sidecars.
fn front_door(text: &str) -> Result<HeaderValue, String> {
    let expected = || "expected 1 to 256 visible ASCII characters".to_owned();
    if text.len() > 256 || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(expected());
    }
    let mut secret = HeaderValue::from_str(text).map_err(|_| expected())?;
    // Printed by nothing that prints arguments.
    secret.set_sensitive(true);
    Ok(secret)
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
    /// The one where what --hash names belongs, unless it has more than its share.
    ConsistentHash,
}

impl PolicyName {
    fn policy(self) -> Policy {
        match self {
            Self::LeastLoaded => Policy::LeastLoaded,
            Self::FirstAvailable => Policy::FirstAvailable,
            Self::RoundRobin => Policy::RoundRobin,
            // Several activators must not draw the same instances in the same order.
            Self::RandomOfTwo => Policy::RandomOfTwo { seed: std::process::id().into() },
            Self::ConsistentHash => Policy::ConsistentHash,
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
    /// What the activator is to do.
    pub(crate) fn config(self) -> anyhow::Result<Config> {
        let mut config = Config::new(self.listen);
        config.credentials = self.credentials.credentials()?;
        config.controller = self.controller;
        config.knative_autoscaler = self.knative_autoscaler;
        config.name = self.name.unwrap_or(config.name);
        config.default_revision = self.default_revision.map(|Revision(revision)| revision);
        self.queue.apply(self.policy.policy(), &mut config)?;
        config.limits.response_start = Some(self.request_timeout);
        self.overflow.apply(&mut config)?;
        config.sidecar_secret = self.front_door;
        config.front_doors = FrontDoors::Several;
        config.abandoned = self.abandoned.within(self.request_timeout);
        if let Some(ByteCount(bytes)) = self.memory_budget {
            config.memory_budget_bytes = bytes;
        }
        config.server.cause_header = match self.cause_header {
            true => CauseHeader::Shown,
            false => CauseHeader::Hidden,
        };
        config.server_timing = match self.server_timing {
            true => ServerTimingHeader::Shown,
            false => ServerTimingHeader::Hidden,
        };
        config.endpoints = (1..)
            .zip(self.endpoints)
            .map(|(nth, Endpoint { revision, address, limit })| {
                let instance = format!("{}-{nth}", revision.name);
                let address = address.to_string();
                (revision, tidegate_activator::Endpoint { instance, address, limit })
            })
            .collect();
        self.entrance.apply(&mut config);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_the_sidecars_is_visible_ascii_and_never_printed() {
        let secret = front_door("s3cret-of-the-sidecars").unwrap();
        assert!(!format!("{secret:?}").contains("s3cret"));
        for bad in ["", "two words", "caf\u{e9}", &"x".repeat(257)] {
            assert!(front_door(bad).is_err(), "{bad}");
        }
    }

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
