//! `OBSERVABILITY_CONFIG`: the platform's whole observability configuration as JSON, merged over
//! defaults. Only what a sidecar uses is read.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use tidegate_go_text::Template;
use tidegate_logging::secrets::{Query, QueryRule};

use crate::environment::{Environment, Reader, Switch, keys};
use crate::otlp::push::{Otlp, OtlpProtocol};
use crate::request_log::{DEFAULT_TEMPLATE, JSON_TEMPLATE, RequestLog};
use crate::trace::Sampler;

/// Metrics, traces and the request log.
#[derive(Debug, Clone)]
pub struct Observability {
    /// Where request metrics go.
    pub metrics: MetricsExport,
    /// Where spans go.
    pub tracing: TracingExport,
    /// Which traces are sampled, when they go anywhere.
    pub sampler: Sampler,
    /// What of a URL may be written down, in the request log and in traces.
    pub query: QueryRule,
    /// The request log, when it is on and its template is not empty.
    pub request_log: Option<RequestLog>,
    /// Why the request log is off although it was asked for; logged once at start.
    pub request_log_complaint: Option<String>,
}

/// Where request metrics go.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsExport {
    /// Nowhere; then they cost nothing.
    None,
    /// Scraped from a port; host and port override the listener's when the endpoint names them.
    Prometheus {
        /// Host of the endpoint.
        host: Option<IpAddr>,
        /// Port of the endpoint.
        port: Option<u16>,
    },
    /// Pushed.
    Otlp(Otlp),
}

/// Where spans go.
#[derive(Debug, Clone, PartialEq)]
pub enum TracingExport {
    /// Nowhere; trace context still passes through.
    None,
    /// JSON lines on standard output.
    Stdout,
    /// Pushed.
    Otlp(Otlp),
}

/// Time between two pushes of metrics unless configured, OpenTelemetry's default.
const OTLP_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    tracing: Option<TracingConfig>,
    request_metrics: Option<MetricsConfig>,
    enable_request_log: Option<bool>,
    request_log_template: Option<String>,
    enable_probe_request_log: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TracingConfig {
    protocol: Option<String>,
    endpoint: Option<String>,
    sampling_rate: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MetricsConfig {
    protocol: Option<String>,
    endpoint: Option<String>,
    export_interval: Option<i64>,
}

/// Reads the configuration; problems go to the reader.
pub(super) fn read<E: Environment>(reader: &mut Reader<'_, E>) -> Observability {
    let json = reader.optional(keys::OBSERVABILITY_CONFIG).unwrap_or_else(|| "{}".to_owned());
    // JSON `null` leaves every default, as it does in Go.
    let config: Config = match serde_json::from_str::<Option<Config>>(&json) {
        Ok(config) => config.unwrap_or_default(),
        Err(error) => {
            let message = format!("cannot parse the JSON: {error}");
            reader.reject(keys::OBSERVABILITY_CONFIG, message);
            Config::default()
        }
    };
    let tracing_config = config.tracing.unwrap_or_default();
    let sampler = sampler(reader, &tracing_config);
    let metrics = metrics(reader, config.request_metrics.unwrap_or_default());
    let tracing = tracing(reader, tracing_config);
    let mut request_log_complaint = None;
    let mut enabled = config.enable_request_log == Some(true);
    let mut template = config.request_log_template.unwrap_or_else(|| DEFAULT_TEMPLATE.to_owned());
    match reader.optional(keys::TIDEGATE_REQUEST_LOG).as_deref() {
        None => {}
        Some("json") => (enabled, template) = (true, JSON_TEMPLATE.to_owned()),
        Some(other) => {
            let message = format!("cannot use '{other}', expected 'json'");
            reader.reject(keys::TIDEGATE_REQUEST_LOG, message);
        }
    }
    let request_log = if enabled && !template.is_empty() {
        match Template::parse(&template) {
            Ok(template) => Some(RequestLog {
                template,
                probes: match config.enable_probe_request_log {
                    Some(true) => Switch::On,
                    _ => Switch::Off,
                },
            }),
            Err(error) => {
                request_log_complaint = Some(format!("request log: {error}"));
                None
            }
        }
    } else {
        None
    };
    let query = query(reader);
    Observability { metrics, tracing, sampler, query, request_log, request_log_complaint }
}

fn query<E: Environment>(reader: &mut Reader<'_, E>) -> QueryRule {
    let names = reader.optional(keys::TIDEGATE_LOG_QUERY_NAMES).unwrap_or_default();
    let query = match reader.optional(keys::TIDEGATE_LOG_QUERY).as_deref() {
        None | Some("masked") => Query::Masked,
        Some("full") => Query::Full,
        Some("none") => Query::None,
        Some(other) => {
            let message = format!("cannot use '{other}', expected masked, full or none");
            reader.reject(keys::TIDEGATE_LOG_QUERY, message);
            Query::Masked
        }
    };
    QueryRule::new(query, &names)
}

fn metrics<E: Environment>(reader: &mut Reader<'_, E>, config: MetricsConfig) -> MetricsExport {
    let endpoint = config.endpoint.unwrap_or_default();
    let interval = match config.export_interval {
        Some(nanoseconds) if nanoseconds > 0 => Duration::from_nanos(nanoseconds.unsigned_abs()),
        _ => {
            let configured = reader.optional_within(keys::OTEL_METRIC_EXPORT_INTERVAL, 1..=1 << 40);
            configured.map_or(OTLP_INTERVAL, |ms| Duration::from_millis(ms.unsigned_abs()))
        }
    };
    match config.protocol.as_deref().unwrap_or("none") {
        "none" => MetricsExport::None,
        "prometheus" => prometheus(reader, &endpoint),
        protocol @ ("grpc" | "http/protobuf") => {
            let key = keys::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT;
            MetricsExport::Otlp(otlp(reader, key, protocol, &endpoint, interval))
        }
        other => {
            reject_protocol(reader, "requestMetrics", other, "none, prometheus, grpc");
            MetricsExport::None
        }
    }
}

fn tracing<E: Environment>(reader: &mut Reader<'_, E>, config: TracingConfig) -> TracingExport {
    let endpoint = config.endpoint.unwrap_or_default();
    match config.protocol.as_deref().unwrap_or("none") {
        "none" => TracingExport::None,
        "stdout" => TracingExport::Stdout,
        protocol @ ("grpc" | "http/protobuf") => {
            let key = keys::OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
            TracingExport::Otlp(otlp(reader, key, protocol, &endpoint, OTLP_INTERVAL))
        }
        other => {
            reject_protocol(reader, "tracing", other, "none, stdout, grpc");
            TracingExport::None
        }
    }
}

fn sampler<E: Environment>(reader: &Reader<'_, E>, config: &TracingConfig) -> Sampler {
    // Traces on standard output are for debugging, where every request is of interest.
    if config.protocol.as_deref() == Some("stdout") {
        return Sampler::Always;
    }
    let name = reader.optional(keys::OTEL_TRACES_SAMPLER);
    let argument = reader.optional(keys::OTEL_TRACES_SAMPLER_ARG);
    let rate = config.sampling_rate.unwrap_or(0.0);
    Sampler::choose(name.as_deref(), argument.as_deref(), rate)
}

fn reject_protocol<E: Environment>(
    reader: &mut Reader<'_, E>,
    section: &str,
    protocol: &str,
    choices: &str,
) {
    let message =
        format!("{section}.protocol: unknown '{protocol}', expected {choices} or http/protobuf");
    reader.reject(keys::OBSERVABILITY_CONFIG, message);
}

fn prometheus<E: Environment>(reader: &mut Reader<'_, E>, endpoint: &str) -> MetricsExport {
    if endpoint.is_empty() {
        return MetricsExport::Prometheus { host: None, port: None };
    }
    match split_host_port(endpoint) {
        Some((host, port)) => MetricsExport::Prometheus { host, port: Some(port) },
        None => {
            let message = format!(
                "requestMetrics.endpoint: cannot listen on '{endpoint}', expected host:port"
            );
            reader.reject(keys::OBSERVABILITY_CONFIG, message);
            MetricsExport::None
        }
    }
}

/// Splits `:9095`, `0.0.0.0:9095` and `[::]:9095`; `None` when the text is nothing of the kind.
fn split_host_port(endpoint: &str) -> Option<(Option<IpAddr>, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare {
        "" => Some((None, port)),
        "localhost" => Some((Some(IpAddr::from([127, 0, 0, 1])), port)),
        address => Some((Some(address.parse().ok()?), port)),
    }
}

fn otlp<E: Environment>(
    reader: &Reader<'_, E>,
    key: &str,
    protocol: &str,
    endpoint: &str,
    interval: Duration,
) -> Otlp {
    let protocol = if protocol == "grpc" { OtlpProtocol::Grpc } else { OtlpProtocol::Http };
    let override_endpoint =
        reader.optional(key).or_else(|| reader.optional(keys::OTEL_EXPORTER_OTLP_ENDPOINT));
    let endpoint = override_endpoint.unwrap_or_else(|| endpoint.to_owned());
    let endpoint = tidegate_otlp::transport::endpoint(protocol, &endpoint);
    Otlp { protocol, endpoint, interval }
}
