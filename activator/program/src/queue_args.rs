//! What the activator's queues are told on the command line.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use tidegate_activator::Config;
use tidegate_activator::config::DEFAULT_SLOW_START;
use tidegate_activator::http::{HeaderName, StatusCode};
use tidegate_activator::memory::ByteCount;
use tidegate_activator::overflow::Overflow;
use tidegate_activator::placeholder::{DEFAULT_AFTER, Placeholder};
use tidegate_activator::request_keys::{CLASS_HEADER, ClassNames, KeySource, RequestKeys};
use tidegate_activator::waiting_totals::WaitingBounds;
use tidegate_admission::attributes::CLASSES_MAX;
use tidegate_admission::{
    Classes, DispatcherSettings, HedgeAfter, HedgeSettings, Order, OutlierSettings, Policy,
};

use crate::revision::Revision;
use tidegate_flags::values::{share, wait, whole};

/// The queue of each revision.
#[derive(Debug, clap::Args)]
pub(crate) struct QueueArgs {
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
    /// What the requests that wait for one revision may weigh together, such as 64Mi: their heads,
    /// and what is read ahead of their bodies.
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    max_waiting_bytes: Option<ByteCount>,
    /// Requests that may wait for all revisions together.
    #[arg(long, value_name = "N", hide_short_help = true)]
    max_waiting_total: Option<u64>,
    /// What the requests that wait for all revisions may weigh together.
    #[arg(long, value_name = "BYTES", hide_short_help = true)]
    max_waiting_bytes_total: Option<ByteCount>,
    /// Who leaves the queue first: `arrival`, `deadline` (the response that is due first, by
    /// X-Request-Deadline or gRPC's timeout), or `fair:SOURCE` (takes turns by header:NAME,
    /// cookie:NAME, path or client-address).
    #[arg(long, value_name = "ORDER", default_value = "arrival", hide_short_help = true)]
    order: QueueOrder,
    /// A class of requests and its share of the instances while others wait as well; a request
    /// that names none is of the last one. Up to 8.
    #[arg(long = "class", value_name = "NAME=WEIGHT", hide_short_help = true)]
    classes: Vec<Class>,
    /// The header that names a request's class.
    #[arg(long, value_name = "NAME", default_value_t = CLASS_HEADER, hide_short_help = true)]
    class_header: HeaderName,
    /// What `--policy consistent-hash` goes by: header:NAME, cookie:NAME, path or client-address.
    #[arg(long, value_name = "SOURCE", hide_short_help = true)]
    hash: Option<KeySource>,
    /// Requests that a new instance without a limit gets at first; more follow as it responds.
    /// 0 gives it all that wait.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_SLOW_START.get(),
        hide_short_help = true
    )]
    slow_start: u32,
}

/// What becomes of requests that no instance takes, and how long the others may take.
#[derive(Debug, clap::Args)]
pub(crate) struct OverflowArgs {
    /// How long an instance may take until its response begins; the wait before does not count.
    #[arg(long, value_name = "TIME", value_parser = wait, hide_short_help = true)]
    first_byte_timeout: Option<Duration>,
    /// How long neither side of a request at an instance may send anything.
    #[arg(long, value_name = "TIME", value_parser = wait, hide_short_help = true)]
    idle_timeout: Option<Duration>,
    /// How long a request may take in all, waiting included.
    #[arg(long, value_name = "TIME", value_parser = wait, hide_short_help = true)]
    total_timeout: Option<Duration>,
    /// Send requests again that an instance broke off before it responded, where that is harmless
    /// (idempotent and without a body): at most so many of all, such as 10%.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0%",
        value_parser = share,
        hide_short_help = true
    )]
    retry_budget: f64,
    /// Send requests to a second instance when the first takes long to begin its response, where
    /// that is harmless (GET, HEAD or OPTIONS without a body, or marked so): at most so many of
    /// all, such as 5%. Whoever answers first serves the client.
    #[arg(
        long,
        value_name = "SHARE",
        default_value = "0%",
        value_parser = share,
        hide_short_help = true
    )]
    hedge_budget: f64,
    /// After how long: a time, or `p95`, the time in which 95 of a hundred recent responses began.
    #[arg(long, value_name = "TIME", default_value = "p95", hide_short_help = true)]
    hedge_after: HedgeDelay,
    /// Leave an instance alone for a while after so many failures in a row, as long as half of them
    /// stay in use; 0 never does.
    #[arg(long, value_name = "N", default_value_t = 0, hide_short_help = true)]
    eject_failures: u32,
    /// The same for an instance that takes so many times as long as is usual among them.
    #[arg(long, value_name = "TIMES", default_value_t = 0, hide_short_help = true)]
    eject_slow: u32,
    /// The status of requests that are refused: 503 or 429.
    #[arg(
        long,
        value_name = "STATUS",
        default_value = "503",
        value_parser = ["503", "429"],
        hide_short_help = true
    )]
    refusal_status: String,
    /// Show people a page that loads again by itself while there is no instance: `default`, or a
    /// file of HTML. Programs never get it.
    #[arg(long, value_name = "PAGE", hide_short_help = true)]
    placeholder: Option<PathBuf>,
    /// After how long a browser that waits for the first instance is shown that page.
    #[arg(
        long,
        value_name = "TIME",
        default_value = default_after(),
        value_parser = wait,
        hide_short_help = true
    )]
    placeholder_after: Duration,
    /// Who answers what is refused of a revision.
    #[arg(long = "fallback", value_name = "NAMESPACE/NAME=IP:PORT", hide_short_help = true)]
    fallbacks: Vec<Fallback>,
}

fn default_after() -> String {
    format!("{}s", DEFAULT_AFTER.as_secs())
}

impl QueueArgs {
    /// Configures the queues; `policy` is how instances are chosen.
    pub(crate) fn apply(self, policy: Policy, config: &mut Config) -> anyhow::Result<()> {
        match (policy == Policy::ConsistentHash, &self.hash) {
            (true, None) => bail!(
                "--policy consistent-hash goes by a part of the request; expected --hash with \
                 header:NAME, cookie:NAME, path or client-address"
            ),
            (false, Some(_)) => bail!("--hash has a meaning only with --policy consistent-hash"),
            _ => {}
        }
        let weights: Vec<_> = self.classes.iter().map(|class| class.weight).collect();
        let classes = match weights.is_empty() {
            true => Classes::ONE,
            false => Classes::new(&weights)
                .with_context(|| format!("expected at most {CLASSES_MAX} times --class"))?,
        };
        let (order, fairness) = match self.order {
            QueueOrder::Plain(order) => (order, None),
            QueueOrder::Fair(source) => (Order::Fair, Some(source)),
        };
        let bytes = |count: Option<ByteCount>| count.map(|ByteCount(bytes)| bytes as u64);
        config.dispatch = DispatcherSettings {
            policy,
            order,
            classes,
            max_waiting: self.max_waiting,
            max_waiting_bytes: bytes(self.max_waiting_bytes),
            longest_wait: Some(self.longest_wait),
        };
        config.waiting_bounds = WaitingBounds {
            requests: self.max_waiting_total,
            bytes: bytes(self.max_waiting_bytes_total),
        };
        let names = self.classes.into_iter().map(|class| class.name).collect();
        config.keys = RequestKeys {
            fairness,
            affinity: self.hash,
            classes: ClassNames::new(self.class_header, names).filter(|_| !weights.is_empty()),
        };
        config.slow_start = NonZeroU32::new(self.slow_start);
        Ok(())
    }
}

impl OverflowArgs {
    /// Configures what follows a wait.
    pub(crate) fn apply(self, config: &mut Config) -> anyhow::Result<()> {
        config.limits.idle = self.idle_timeout;
        config.limits.overall = self.total_timeout;
        config.first_byte_timeout = self.first_byte_timeout;
        // A share is at most one.
        config.retry_permille = (self.retry_budget * 1_000.0).round() as u16;
        config.hedges = HedgeSettings {
            permille: (self.hedge_budget * 1_000.0).round() as u16,
            after: self.hedge_after.0,
        };
        config.outliers = OutlierSettings {
            failures: NonZeroU32::new(self.eject_failures),
            times_median: NonZeroU32::new(self.eject_slow),
        };
        let placeholder = self.placeholder.map(page).transpose()?;
        let placeholder = placeholder.map(|page| page.shown_after(self.placeholder_after));
        let fallbacks = self.fallbacks.into_iter().map(|fallback| {
            let Fallback { revision: Revision(revision), address } = fallback;
            (revision, address)
        });
        config.overflow = Overflow {
            status: match self.refusal_status.as_str() {
                "429" => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            placeholder,
            fallbacks: fallbacks.collect(),
        };
        Ok(())
    }
}

fn page(path: PathBuf) -> anyhow::Result<Placeholder> {
    if path.as_os_str() == "default" {
        return Ok(Placeholder::default());
    }
    let page = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the page of --placeholder, {}", path.display()))?;
    Placeholder::with_page(page)
        .with_context(|| format!("cannot use the page of --placeholder, {}", path.display()))
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum QueueOrder {
    Plain(Order),
    Fair(KeySource),
}

impl FromStr for QueueOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let source = match text {
            "arrival" => return Ok(Self::Plain(Order::Arrival)),
            "deadline" => return Ok(Self::Plain(Order::EarliestDeadline)),
            _ => text.strip_prefix("fair:").and_then(|source| source.parse().ok()),
        };
        source.map(Self::Fair).ok_or_else(|| {
            "expected arrival, deadline, or fair: and header:NAME, cookie:NAME, path or \
             client-address"
                .to_owned()
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HedgeDelay(HedgeAfter);

impl FromStr for HedgeDelay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "p95" => Ok(Self(HedgeAfter::Measured)),
            text => wait(text)
                .map(|time| Self(HedgeAfter::Time(time)))
                .map_err(|error| format!("{error}, or p95")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    name: String,
    weight: NonZeroU16,
}

impl FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text.split_once('=').ok_or("expected NAME=WEIGHT")?;
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_byte) {
            return Err("expected a name of letters, digits, '-', '.' and '_'".to_owned());
        }
        let weight = weight.parse().map_err(|_| "expected a weight from 1 to 65535".to_owned())?;
        Ok(Self { name: name.to_owned(), weight })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fallback {
    revision: Revision,
    address: SocketAddr,
}

impl FromStr for Fallback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected NAMESPACE/NAME=IP:PORT".to_owned();
        let (revision, address) = text.split_once('=').ok_or_else(expected)?;
        Ok(Self { revision: revision.parse()?, address: address.parse().map_err(|_| expected())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_classes_and_fallbacks_are_read_or_refused() {
        assert_eq!("deadline".parse(), Ok(QueueOrder::Plain(Order::EarliestDeadline)));
        let fair = QueueOrder::Fair("header:x-user".parse().unwrap());
        assert_eq!("fair:header:x-user".parse(), Ok(fair));
        for bad in ["", "fair", "fair:", "fair:user", "Arrival", "header:x-user"] {
            assert!(bad.parse::<QueueOrder>().is_err(), "{bad}");
        }
        assert_eq!("gold=10".parse::<Class>().unwrap().weight.get(), 10);
        for bad in ["", "gold", "=1", "gold=0", "gold=70000", "a b=1", "gold=-1"] {
            assert!(bad.parse::<Class>().is_err(), "{bad}");
        }
        assert_eq!("p95".parse(), Ok(HedgeDelay(HedgeAfter::Measured)));
        let time = HedgeAfter::Time(Duration::from_millis(30));
        assert_eq!("30ms".parse(), Ok(HedgeDelay(time)));
        for bad in ["", "p99", "soon", "-1s"] {
            assert!(bad.parse::<HedgeDelay>().is_err(), "{bad}");
        }
        assert!("prod/web=10.0.0.1:80".parse::<Fallback>().is_ok());
        for bad in ["", "web=10.0.0.1:80", "prod/web", "prod/web=host:80"] {
            assert!(bad.parse::<Fallback>().is_err(), "{bad}");
        }
    }
}
