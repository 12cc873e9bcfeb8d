//! What the environment asks for, resolved and validated: the only form in which the rest of the
//! crate sees configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_admission::Abandoned;
use tidegate_logging::Filter;
use tidegate_relay::memory::{self, ByteCount};
use tidegate_relay::{CauseHeader, StreamLimits};
use tidegate_reporter::Credentials;

use crate::environment::{Environment, Problem, Reader, keys};
use crate::identity::Identity;
use crate::probe::spec::{self, ReadinessSpec};
use crate::tls::TlsSettings;

mod admission;
mod log;
pub mod observability;

use observability::Observability;

/// Port of `/wait-for-drain`, fixed by Knative.
pub const ADMIN_PORT: u16 = 8022;
/// Port of the statistics, fixed by Knative.
pub const STATS_PORT: u16 = 9090;
/// Port of the Prometheus metrics unless the configuration names another.
pub const METRICS_PORT: u16 = 9091;
/// Time without a new request that ends a drain, as in Knative.
pub const QUIET_PERIOD: Duration = Duration::from_secs(30);
/// A drain that no signal confirms within this time is undone, as in Knative.
pub const DRAIN_RESET: Duration = Duration::from_secs(1);
/// Time in which a request's head must arrive, as in Knative.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Where Knative mounts the certificate of the pod.
pub const CERTIFICATE_DIRECTORY: &str = "/var/lib/knative/certs";
/// Time between two checks of the certificate files, as in Knative.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(60);
/// Our own probes while the app is not ready. Half of it is the mean detection lag, which is to
/// stay below 5 ms; a refused connection on loopback costs some 30 µs.
pub const READY_POLL: Duration = Duration::from_millis(3);

/// A listener that may be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// No listener.
    Off,
    /// This port; 0 picks a free one.
    At(u16),
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// Address to bind; `None` is every interface, IPv6 and IPv4.
    pub host: Option<IpAddr>,
    /// Main listener.
    pub main: u16,
    /// Main listener over TLS.
    pub tls: u16,
    /// `/wait-for-drain`.
    pub admin: Port,
    /// Statistics in protobuf.
    pub stats: Port,
    /// Prometheus metrics; used when the configuration asks for them.
    pub metrics: Port,
    /// Address of the metrics listener when it differs from `host`.
    pub metrics_host: Option<IpAddr>,
}

/// How the concurrency limit is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concurrency {
    /// No limit, no queue.
    Unlimited,
    /// A fixed limit.
    Fixed(u32),
    /// A limit that follows the app's latency, never above the ceiling if there is one.
    Adaptive {
        /// The highest limit.
        ceiling: Option<u32>,
    },
}

/// Limit, queue, and the response to refused requests.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The limit.
    pub concurrency: Concurrency,
    /// Requests that may wait; `None` is
    /// [`KNATIVE_DEPTH_TIMES_LIMIT`](tidegate_admission::queue::KNATIVE_DEPTH_TIMES_LIMIT) times
    /// the limit.
    pub queue_depth: Option<u32>,
    /// Longest time in the queue.
    pub queue_timeout: Option<Duration>,
    /// 503 or 429.
    pub refusal_status: http::StatusCode,
    /// `Retry-After` of a refusal in seconds.
    pub retry_after_seconds: Option<u32>,
    /// What becomes of the slot of a request whose client has gone.
    pub abandoned: Abandoned,
    /// What the app speaks.
    pub app_protocol: AppProtocol,
    /// Ports of the app that carry no HTTP, whose connections count as requests.
    pub tcp_ports: Vec<u16>,
    /// Whether the sidecar's own responses carry their cause in a header.
    pub cause_header: CauseHeader,
}

/// What an app speaks on the port that the sidecar stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppProtocol {
    /// HTTP, in all its versions.
    #[default]
    Http,
    /// Anything else over TCP: a connection is a request.
    Tcp,
}

/// Limits in time of one exchange; `None` is unlimited.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// From arrival to the end of the response.
    pub overall: Option<Duration>,
    /// From arrival to the head of the response.
    pub response_start: Option<Duration>,
    /// Between bytes, in whatever direction.
    pub idle: Option<Duration>,
    /// From the first byte of a connection, or the end of a response, to a whole head.
    pub header: Duration,
    /// From the begin of a response, or of a connection that is passed on as it is.
    pub stream: StreamLimits,
}

/// How to end.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Time without a new request that ends the drain.
    pub quiet_period: Duration,
    /// Longest time for work in flight, from the begin of the drain.
    pub grace_period: Duration,
    /// A drain without a signal is undone after this time.
    pub reset: Duration,
}

/// The report stream.
#[derive(Debug, Clone)]
pub struct ReportSettings {
    /// The controller, `host:port`.
    pub controller: String,
    /// What the sidecar authenticates with.
    pub credentials: Credentials,
    /// Name of the instance.
    pub instance: String,
    /// Where the instance takes traffic; `None` is the pod's address and the main port.
    pub address: Option<String>,
}

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names of the instance and its revision.
    pub identity: Identity,
    /// Where to listen.
    pub listeners: Listeners,
    /// Port of the app, on 127.0.0.1 or `[::1]`.
    pub app_port: u16,
    /// Limit, queue and refusals.
    pub admission: Admission,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// How to find out whether the app is ready.
    pub readiness: ReadinessSpec,
    /// Pace of the sidecar's own probes; `None` probes only when the platform does.
    pub ready_poll: Option<Duration>,
    /// Metrics, traces, request log.
    pub observability: Observability,
    /// How to end.
    pub drain: Drain,
    /// TLS of the main listener.
    pub tls: TlsSettings,
    /// The report stream, if any.
    pub report: Option<ReportSettings>,
    /// The secret that the activator's requests carry, if any.
    pub front_door: Option<String>,
    /// File of the recorded trace, if any.
    pub record: Option<PathBuf>,
    /// Threads that carry requests.
    pub data_threads: usize,
    /// Most bytes that are held for clients and the app at a time.
    pub memory_budget_bytes: usize,
    /// What is logged.
    pub log: Filter,
    /// A warning about the logger configuration, to be logged once the logger is there.
    pub log_complaint: Option<String>,
}

impl Settings {
    /// Reads and validates everything.
    ///
    /// # Errors
    ///
    /// All variables that cannot be used, each with the reason.
    pub fn from_environment<E: Environment>(environment: &E) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(environment);
        let limit = reader.required_integer(keys::CONTAINER_CONCURRENCY);
        let listeners = listeners(&mut reader);
        let user_port = port(&mut reader, keys::USER_PORT, EmptyPort::Rejected);
        let timeouts = timeouts(&mut reader);
        let identity = identity(&mut reader);
        let (log, log_complaint) = log::log(&mut reader);
        let readiness = readiness(&mut reader, user_port);
        let observability = observability::read(&mut reader);
        let report = report(&mut reader, &identity);
        let abandoned = admission::abandoned(&mut reader, timeouts.overall, report.as_ref());
        let admission = admission::read(&mut reader, limit, abandoned);
        let drain = drain(&mut reader, timeouts.overall);
        let settings = Self {
            app_port: user_port,
            ready_poll: ready_poll(&mut reader, report.as_ref()),
            tls: tls(&mut reader),
            front_door: reader.optional(keys::TIDEGATE_FRONT_DOOR),
            record: reader.optional(keys::TIDEGATE_RECORD).map(PathBuf::from),
            data_threads: data_threads(&mut reader),
            memory_budget_bytes: memory_budget(&mut reader),
            identity,
            listeners,
            admission,
            timeouts,
            readiness,
            observability,
            drain,
            report,
            log,
            log_complaint,
        };
        let problems = reader.into_problems();
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

fn identity<E: Environment>(reader: &mut Reader<'_, E>) -> Identity {
    Identity {
        namespace: reader.required(keys::SERVING_NAMESPACE),
        configuration: reader.required(keys::SERVING_CONFIGURATION),
        revision: reader.required(keys::SERVING_REVISION),
        pod: reader.required(keys::SERVING_POD),
        pod_ip: reader.required(keys::SERVING_POD_IP),
        service: reader.optional(keys::SERVING_SERVICE).unwrap_or_default(),
    }
}

fn listeners<E: Environment>(reader: &mut Reader<'_, E>) -> Listeners {
    let main = port(reader, keys::QUEUE_SERVING_PORT, EmptyPort::PicksFreeOne);
    let tls = port(reader, keys::QUEUE_SERVING_TLS_PORT, EmptyPort::PicksFreeOne);
    Listeners {
        host: host(reader, keys::TIDEGATE_LISTEN_HOST),
        main,
        tls,
        admin: movable_port(reader, keys::TIDEGATE_ADMIN_PORT).unwrap_or(Port::At(ADMIN_PORT)),
        stats: movable_port(reader, keys::TIDEGATE_STATS_PORT).unwrap_or(Port::At(STATS_PORT)),
        metrics: metrics_port(reader),
        metrics_host: host(reader, keys::METRICS_PROMETHEUS_HOST),
    }
}

fn metrics_port<E: Environment>(reader: &mut Reader<'_, E>) -> Port {
    let knative = reader
        .optional_within(keys::METRICS_PROMETHEUS_PORT, 1024..=65535)
        .and_then(|number| u16::try_from(number).ok());
    movable_port(reader, keys::TIDEGATE_METRICS_PORT)
        .or(knative.map(Port::At))
        .unwrap_or(Port::At(METRICS_PORT))
}

fn host<E: Environment>(reader: &mut Reader<'_, E>, key: &str) -> Option<IpAddr> {
    let value = reader.optional(key)?;
    match value.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            reader.reject(key, format!("cannot use '{value}', expected an IP address"));
            None
        }
    }
}

/// What an empty port means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyPort {
    PicksFreeOne,
    Rejected,
}

fn port<E: Environment>(reader: &mut Reader<'_, E>, key: &str, empty: EmptyPort) -> u16 {
    let value = reader.required(key);
    if value.is_empty() && empty == EmptyPort::PicksFreeOne {
        return 0;
    }
    match value.parse() {
        Ok(port) => port,
        // A missing variable has been reported already.
        Err(_) if value.is_empty() && empty == EmptyPort::Rejected => 0,
        Err(_) => {
            reader.reject(key, format!("cannot listen on or dial port '{value}'"));
            0
        }
    }
}

fn movable_port<E: Environment>(reader: &mut Reader<'_, E>, key: &str) -> Option<Port> {
    let value = reader.optional(key)?;
    if value.eq_ignore_ascii_case("off") {
        return Some(Port::Off);
    }
    match value.parse() {
        Ok(port) => Some(Port::At(port)),
        Err(_) => {
            reader.reject(key, format!("cannot use '{value}', expected a port or 'off'"));
            None
        }
    }
}

fn timeouts<E: Environment>(reader: &mut Reader<'_, E>) -> Timeouts {
    let overall = reader.required_integer(keys::REVISION_TIMEOUT_SECONDS);
    let response_start = reader.optional_integer(keys::REVISION_RESPONSE_START_TIMEOUT_SECONDS);
    let idle = reader.optional_integer(keys::REVISION_IDLE_TIMEOUT_SECONDS);
    Timeouts {
        overall: positive_seconds(overall),
        response_start: response_start.and_then(positive_seconds),
        idle: idle.and_then(positive_seconds),
        header: milliseconds(reader, keys::TIDEGATE_HEADER_TIMEOUT_MS).unwrap_or(HEADER_TIMEOUT),
        stream: StreamLimits {
            idle: milliseconds(reader, keys::TIDEGATE_STREAM_IDLE_MS).filter(is_some_time),
            lifetime: milliseconds(reader, keys::TIDEGATE_STREAM_LIFETIME_MS).filter(is_some_time),
        },
    }
}

/// A limit of zero is none, as with Knative's timeouts.
fn is_some_time(limit: &Duration) -> bool {
    !limit.is_zero()
}

/// A century: beyond it a timeout is none, and sums of instants must not overflow.
const LONGEST_TIMEOUT_SECONDS: u64 = 100 * 366 * 24 * 3600;

fn positive_seconds(seconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok()?;
    (1..LONGEST_TIMEOUT_SECONDS).contains(&seconds).then(|| Duration::from_secs(seconds))
}

fn milliseconds<E: Environment>(reader: &mut Reader<'_, E>, key: &str) -> Option<Duration> {
    let number = reader.optional_within(key, 0..=1000 * 3600 * 24 * 366)?;
    u64::try_from(number).ok().map(Duration::from_millis)
}

fn readiness<E: Environment>(reader: &mut Reader<'_, E>, user_port: u16) -> ReadinessSpec {
    let several = reader.flag(keys::ENABLE_MULTI_CONTAINER_PROBES);
    let detection = reader.flag(keys::ENABLE_HTTP2_AUTO_DETECTION);
    // Read for its errors: exchanges are full duplex whatever its value is.
    reader.flag(keys::ENABLE_HTTP_FULL_DUPLEX);
    let json = reader.optional(keys::SERVING_READINESS_PROBE).unwrap_or_default();
    match spec::parse(&json, spec::Reading { several, http2: detection, user_port }) {
        Ok(spec) => spec,
        Err(error) => {
            reader.reject(keys::SERVING_READINESS_PROBE, error.to_string());
            ReadinessSpec::default()
        }
    }
}

fn drain<E: Environment>(reader: &mut Reader<'_, E>, overall: Option<Duration>) -> Drain {
    let quiet = milliseconds(reader, keys::TIDEGATE_QUIET_PERIOD_MS).unwrap_or(QUIET_PERIOD);
    let grace = milliseconds(reader, keys::TIDEGATE_GRACE_PERIOD_MS);
    Drain {
        quiet_period: quiet,
        grace_period: grace.unwrap_or_else(|| default_grace(overall, quiet)),
        reset: milliseconds(reader, keys::TIDEGATE_DRAIN_RESET_MS).unwrap_or(DRAIN_RESET),
    }
}

/// Work that started in the quiet period may take as long as any; Knative gives at least a minute.
fn default_grace(overall: Option<Duration>, quiet: Duration) -> Duration {
    const LEAST: Duration = Duration::from_secs(60);
    quiet.saturating_add(overall.unwrap_or(Duration::from_secs(LONGEST_TIMEOUT_SECONDS)).max(LEAST))
}

fn tls<E: Environment>(reader: &mut Reader<'_, E>) -> TlsSettings {
    let directory = reader.optional(keys::TIDEGATE_CERTIFICATE_DIRECTORY);
    TlsSettings {
        directory: PathBuf::from(directory.as_deref().unwrap_or(CERTIFICATE_DIRECTORY)),
        poll: milliseconds(reader, keys::TIDEGATE_CERTIFICATE_POLL_MS)
            .filter(|poll| !poll.is_zero())
            .unwrap_or(CERTIFICATE_POLL),
        min_version: reader.optional(keys::QUEUE_PROXY_TLS_MIN_VERSION),
        max_version: reader.optional(keys::QUEUE_PROXY_TLS_MAX_VERSION),
        cipher_suites: reader.optional(keys::QUEUE_PROXY_TLS_CIPHER_SUITES),
        curve_preferences: reader.optional(keys::QUEUE_PROXY_TLS_CURVE_PREFERENCES),
    }
}

fn report<E: Environment>(
    reader: &mut Reader<'_, E>,
    identity: &Identity,
) -> Option<ReportSettings> {
    let controller = reader.optional(keys::TIDEGATE_CONTROLLER)?;
    let credentials = Credentials::configured(|key| reader.optional(key));
    let credentials = credentials.unwrap_or_else(|error| {
        reader.reject(keys::TIDEGATE_CONTROLLER, error.to_string());
        Credentials::default()
    });
    Some(ReportSettings {
        controller,
        credentials,
        instance: reader.optional(keys::TIDEGATE_INSTANCE).unwrap_or_else(|| identity.pod.clone()),
        address: reader.optional(keys::TIDEGATE_ADDRESS),
    })
}

fn ready_poll<E: Environment>(
    reader: &mut Reader<'_, E>,
    report: Option<&ReportSettings>,
) -> Option<Duration> {
    match milliseconds(reader, keys::TIDEGATE_READY_POLL_MS) {
        Some(poll) => Some(poll).filter(|poll| !poll.is_zero()),
        None => report.map(|_| READY_POLL),
    }
}

/// The default for the most threads that carry requests: one takes some 80,000 small
/// requests a second, and the app behind shares the cores.
const MOST_DATA_THREADS: usize = 4;

fn data_threads<E: Environment>(reader: &mut Reader<'_, E>) -> usize {
    let asked = reader.optional_within(keys::TIDEGATE_DATA_THREADS, 1..=256);
    asked.and_then(|threads| usize::try_from(threads).ok()).unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores / 2).clamp(1, MOST_DATA_THREADS)
    })
}

/// The largest default memory budget, in bytes. Whatever clients send, the sidecar then stays
/// within 64 MB of what it takes when idle.
pub const MEMORY_BUDGET_BYTES: usize = 40 << 20;

fn memory_budget<E: Environment>(reader: &mut Reader<'_, E>) -> usize {
    let least = ByteCount(memory::BUDGET_BYTES_MIN);
    let asked = reader.optional(keys::TIDEGATE_MEMORY_BUDGET).map(|text| text.parse::<ByteCount>());
    match asked {
        None => memory::default_budget(memory::limit_bytes(), MEMORY_BUDGET_BYTES),
        Some(Ok(bytes)) if bytes >= least => bytes.0,
        Some(Ok(bytes)) => {
            let message = format!("{bytes} is out of range, expected {least} or more");
            reader.reject(keys::TIDEGATE_MEMORY_BUDGET, message);
            least.0
        }
        Some(Err(error)) => {
            reader.reject(keys::TIDEGATE_MEMORY_BUDGET, error.to_string());
            least.0
        }
    }
}

#[cfg(test)]
mod tests;
