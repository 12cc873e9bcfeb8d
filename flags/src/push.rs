//! Metrics that leave a role by themselves: where to, which, how often.

mod variables;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate_admin::Subject;
use tidegate_exporter::rules::RULES_BYTES_MAX;
use tidegate_exporter::settings::{
    BACKLOG_AGE, BACKLOG_BYTES, BACKLOG_BYTES_MIN, INTERVAL, INTERVAL_MAX, INTERVAL_MIN,
};
use tidegate_exporter::{
    Exporter, Headers, HeadersError, Identity, Metrics, Protocol, Rules, Running, Settings,
    StartError, spawn,
};
use tidegate_relay::memory::ByteCount;
use tidegate_routes::FileError;
use tidegate_telemetry::Registry;
use tidegate_trust::{ClientCertificates, TlsError};

use self::variables::Variables;
use crate::values::time_within;

/// What turns a push off that a variable of OpenTelemetry asks for.
const NONE: &str = "none";

/// Flags of every role that pushes metrics. Tokens are no flags: every user of a machine can read
/// the arguments of its processes.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct PushArgs {
    /// Where metrics are pushed to, such as https://collector:4318 or
    /// https://prometheus/api/v1/write; `none` ignores OpenTelemetry's variables.
    #[arg(
        long = "metrics-push",
        value_name = "URL",
        env = "TIDEGATE_METRICS_PUSH",
        hide_env_values = true,
        hide_short_help = true
    )]
    url: Option<String>,
    /// How they are pushed [default: otlp-http].
    #[arg(
        long = "metrics-push-protocol",
        value_name = "PROTOCOL",
        env = "TIDEGATE_METRICS_PUSH_PROTOCOL",
        value_enum,
        hide_short_help = true
    )]
    protocol: Option<ProtocolName>,
    /// Time between two readings of the metrics [default: 1m].
    #[arg(
        long = "metrics-push-interval",
        value_name = "TIME",
        env = "TIDEGATE_METRICS_PUSH_INTERVAL",
        value_parser = interval,
        hide_short_help = true
    )]
    interval: Option<Duration>,
    /// How long readings wait for others to share their message [default: 1m].
    #[arg(
        long = "metrics-push-batch",
        value_name = "TIME",
        env = "TIDEGATE_METRICS_PUSH_BATCH",
        value_parser = interval,
        hide_short_help = true
    )]
    batch: Option<Duration>,
    /// Which metrics leave: a file of rules, TOML; all of them when absent. `tidegate check
    /// --metrics-rules` says what one does.
    #[arg(
        long = "metrics-push-rules",
        value_name = "FILE",
        env = "TIDEGATE_METRICS_PUSH_RULES",
        hide_short_help = true
    )]
    rules: Option<PathBuf>,
    /// What is said of this process with every metric, such as site=berlin.
    #[arg(
        long = "metrics-push-label",
        value_name = "LABEL=VALUE",
        env = "TIDEGATE_METRICS_PUSH_LABELS",
        value_delimiter = ',',
        value_parser = label,
        hide_short_help = true
    )]
    labels: Vec<(String, String)>,
    /// The file with headers of every push, a line `Authorization: Bearer …` for each; read again
    /// before each. Or set TIDEGATE_METRICS_PUSH_HEADERS to name=value,name=value.
    #[arg(
        long = "metrics-push-headers-file",
        value_name = "FILE",
        env = "TIDEGATE_METRICS_PUSH_HEADERS_FILE",
        hide_short_help = true
    )]
    headers_file: Option<PathBuf>,
    /// Authorities that sign the receiver's certificate, PEM [default: those of the system].
    #[arg(
        long = "metrics-push-ca",
        value_name = "FILE",
        env = "TIDEGATE_METRICS_PUSH_CA",
        hide_short_help = true
    )]
    ca: Option<PathBuf>,
    /// Client certificate for a receiver that requires one, PEM.
    #[arg(
        long = "metrics-push-cert",
        value_name = "FILE",
        env = "TIDEGATE_METRICS_PUSH_CERT",
        requires = "key",
        hide_short_help = true
    )]
    cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(
        id = "key",
        long = "metrics-push-key",
        value_name = "FILE",
        env = "TIDEGATE_METRICS_PUSH_KEY",
        requires = "cert",
        hide_short_help = true
    )]
    key: Option<PathBuf>,
    /// Most memory for what cannot be sent yet, such as 16Mi; beyond it the past is thinned
    /// [default: 8Mi].
    #[arg(
        long = "metrics-push-backlog",
        value_name = "BYTES",
        env = "TIDEGATE_METRICS_PUSH_BACKLOG",
        value_parser = backlog,
        hide_short_help = true
    )]
    backlog: Option<ByteCount>,
    /// Age at which what cannot be sent is given up [default: 24h].
    #[arg(
        long = "metrics-push-backlog-age",
        value_name = "TIME",
        env = "TIDEGATE_METRICS_PUSH_BACKLOG_AGE",
        value_parser = age,
        hide_short_help = true
    )]
    backlog_age: Option<Duration>,
    /// A folder of this process alone, in which what could not be sent outlives it.
    #[arg(
        long = "metrics-push-folder",
        value_name = "DIR",
        env = "TIDEGATE_METRICS_PUSH_FOLDER",
        hide_short_help = true
    )]
    folder: Option<PathBuf>,
}

/// How metrics are pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ProtocolName {
    /// OpenTelemetry's protocol over HTTP/1.1.
    OtlpHttp,
    /// The same over gRPC.
    OtlpGrpc,
    /// Prometheus' remote write, version 1.
    RemoteWrite,
}

impl ProtocolName {
    /// The same as the exporter has it.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            Self::OtlpHttp => Protocol::OtlpHttp,
            Self::OtlpGrpc => Protocol::OtlpGrpc,
            Self::RemoteWrite => Protocol::RemoteWrite,
        }
    }
}

/// Why what was typed makes no push. It never repeats a URL or a header's value.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Something was said of a push that is not there.
    #[error("{0} was given without --metrics-push, which says where to push to")]
    NoTarget(&'static str),
    /// The URL has a user in it, or is none.
    #[error(
        "cannot use the URL of {0}: expected one such as https://host:4318, without a user: a \
         password belongs into --metrics-push-headers-file"
    )]
    Url(&'static str),
    /// A variable of OpenTelemetry's.
    #[error("{name}: cannot use '{value}', expected {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// The file of rules cannot be read.
    #[error("cannot read {path}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file of rules says what cannot be followed.
    #[error("{path}: {source}")]
    Rules {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        source: FileError,
    },
    /// Headers cannot be used.
    #[error(transparent)]
    Headers(#[from] HeadersError),
    /// A certificate or a key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The exporter cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system gives no thread.
    #[error("cannot start the push of metrics")]
    Thread(#[from] io::Error),
}

fn interval(text: &str) -> Result<Duration, String> {
    time_within(INTERVAL_MIN, INTERVAL_MAX)(text)
}

fn age(text: &str) -> Result<Duration, String> {
    // Beyond a month nothing takes them.
    time_within(INTERVAL_MIN, Duration::from_secs(31 * 24 * 3600))(text)
}

fn backlog(text: &str) -> Result<ByteCount, String> {
    let bytes: ByteCount =
        text.parse().map_err(|error: tidegate_relay::memory::BadQuantity| error.to_string())?;
    let least = ByteCount(BACKLOG_BYTES_MIN);
    match bytes >= least {
        true => Ok(bytes),
        false => Err(format!("{bytes} is out of range, expected {least} or more")),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let expected = || "expected KEY=VALUE, such as site=berlin".to_owned();
    let (key, value) = text.split_once('=').ok_or_else(expected)?;
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let begins = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    if !begins || !key.chars().all(is_key) || value.is_empty() || text.len() > 256 {
        return Err(expected());
    }
    if matches!(key, "job" | "instance" | "service.name" | "service.instance.id") {
        return Err(format!(
            "{key} is said by the process itself: see --name and OTEL_SERVICE_NAME"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads a file of rules.
///
/// # Errors
///
/// When it cannot be read, or followed; then with its line and column.
pub fn read_rules(path: &Path) -> Result<Rules, PushError> {
    use std::io::Read as _;
    let unread = |source| PushError::Unread { path: path.to_owned(), source };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unread)?;
    // One byte more than is accepted, so that a longer file is seen to be one.
    file.take(RULES_BYTES_MAX as u64 + 1).read_to_string(&mut text).map_err(unread)?;
    Rules::parse(&text).map_err(|source| PushError::Rules { path: path.to_owned(), source })
}

impl PushArgs {
    /// The push that the flags and the environment ask for, of a service; `name` is that of the
    /// process, whose host stands for it otherwise. `None` when they ask for none.
    ///
    /// # Errors
    ///
    /// When something cannot be read or used; what it is, is named.
    pub fn settings(
        &self,
        service: &str,
        name: Option<&str>,
    ) -> Result<Option<Settings>, PushError> {
        self.settings_in(service, name, &Variables::of_process())
    }

    fn settings_in(
        &self,
        service: &str,
        name: Option<&str>,
        variables: &Variables,
    ) -> Result<Option<Settings>, PushError> {
        let protocol = match self.protocol {
            Some(name) => name.protocol(),
            None => variables.protocol()?.unwrap_or(Protocol::OtlpHttp),
        };
        let asked = match &self.url {
            Some(url) => Some(("--metrics-push", url.clone())),
            None => variables.endpoint(),
        };
        let Some((origin, url)) = asked.filter(|(_, url)| url != NONE) else {
            return match self.aimless() {
                Some(flag) if self.url.is_none() => Err(PushError::NoTarget(flag)),
                _ => Ok(None),
            };
        };
        let endpoint = checked(origin, protocol, &url)?;
        let interval = match self.interval {
            Some(interval) => interval,
            None => variables.interval()?.unwrap_or(INTERVAL),
        };
        let headers = match &self.headers_file {
            Some(path) => Headers::of_file(path)?,
            None => variables.headers(protocol)?,
        };
        let (service, instance, labels) = variables.identity(service, name, protocol)?;
        let labels = labels.into_iter().chain(self.labels.iter().cloned()).collect();
        let tls = match endpoint.starts_with("https://") {
            true => Some(Arc::new(self.certificates(variables)?.load()?)),
            false => None,
        };
        Ok(Some(Settings {
            protocol,
            endpoint,
            identity: Identity { service, instance, labels },
            rules: self.rules.as_deref().map(read_rules).transpose()?.unwrap_or_default(),
            interval,
            batch: self.batch.unwrap_or(INTERVAL),
            headers,
            tls,
            backlog_bytes: self.backlog.map_or(BACKLOG_BYTES, |ByteCount(bytes)| bytes),
            backlog_age: self.backlog_age.unwrap_or(BACKLOG_AGE),
            folder: self.folder.clone(),
        }))
    }

    /// A flag that says something of a push, if one was given.
    fn aimless(&self) -> Option<&'static str> {
        let given = [
            ("--metrics-push-protocol", self.protocol.is_some()),
            ("--metrics-push-rules", self.rules.is_some()),
            ("--metrics-push-folder", self.folder.is_some()),
            ("--metrics-push-headers-file", self.headers_file.is_some()),
            ("--metrics-push-interval", self.interval.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    fn certificates(&self, variables: &Variables) -> Result<ClientCertificates, PushError> {
        let authority = self.ca.clone().or_else(|| variables.authority());
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            _ => variables.certificate(),
        };
        if let Some(path) = &authority {
            // One that is not there would be waited for, and nothing trusted meanwhile.
            std::fs::metadata(path)
                .map_err(|source| PushError::Unread { path: path.clone(), source })?;
        }
        Ok(ClientCertificates { authority, identity })
    }
}

/// The URL, which must not hold what nobody may read: a process's arguments are everybody's.
fn checked(origin: &'static str, protocol: Protocol, text: &str) -> Result<String, PushError> {
    let endpoint = protocol.endpoint(text);
    let (_, rest) = endpoint.split_once("://").ok_or(PushError::Url(origin))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') || protocol.transport(&endpoint).is_err() {
        return Err(PushError::Url(origin));
    }
    Ok(endpoint)
}

/// Begins to push what `subject` gathers, where there is a push, and says so on standard error in
/// the name of `program`. Its own metrics are in the registry either way.
///
/// # Errors
///
/// When the folder cannot be used, or the system gives no thread.
pub fn start(
    program: &str,
    settings: Option<Settings>,
    registry: &Registry,
    subject: &Arc<impl Subject>,
) -> Result<Push, PushError> {
    let metrics = Metrics::new(registry);
    let Some(settings) = settings else { return Ok(Push(None)) };
    let to = shown(&settings.endpoint);
    let every = tidegate_words::time::compact(settings.interval);
    let exporter = Exporter::new(settings, metrics)?;
    let subject = Arc::clone(subject);
    let running = spawn(exporter, move || {
        let subject = Arc::clone(&subject);
        async move { subject.gather().await }
    })?;
    eprintln!("{program}: metrics leave to {to}, read every {every}");
    Ok(Push(Some(running)))
}

/// A URL without what comes after its host, where keys hide.
fn shown(endpoint: &str) -> String {
    let after_scheme = endpoint.find("://").map_or(0, |at| at + 3);
    let host_end = endpoint[after_scheme..].find(['/', '?', '#']);
    host_end.map_or(endpoint, |end| &endpoint[..after_scheme + end]).to_owned()
}

/// A push that runs, or none.
#[derive(Debug)]
#[must_use = "dropping it ends the push without sending what is left"]
pub struct Push(Option<Running>);

impl Push {
    /// Sends what is left, within seconds.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has it go on, as long as the process lives.
    pub async fn finish(self) {
        if let Some(running) = self.0 {
            running.finish().await;
        }
    }
}

#[cfg(test)]
mod tests;
