//! `SERVING_READINESS_PROBE`: Kubernetes probes as JSON.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tidegate_dial::{Host, Pending};
use tidegate_logging::secrets::QueryRule;

use super::dial::authority;
use super::location::origin_form;
use crate::environment::Switch;

pub use super::location::Scheme;

/// The most probes that are accepted; a pod has a handful of containers.
const MOST_PROBES: usize = 64;

/// How to find out whether the app is ready.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ReadinessSpec {
    /// No probe: always ready, even if the app is down, as in Knative.
    #[default]
    Always,
    /// All of these must pass.
    All(Vec<ProbeSpec>),
}

/// One probe.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeSpec {
    /// What to try.
    pub handler: Handler,
    /// How often to try it for each check.
    pub pace: Pace,
    /// Passes in a row that make a success.
    pub success_threshold: u32,
    /// Failures in a row that make a ready app not ready; used by our own watch only.
    pub failure_threshold: u32,
    /// Kubernetes' time between two probes; used by our own watch only.
    pub period: Duration,
    /// Time before the first attempt; used by our own watch only.
    pub initial_delay: Duration,
}

/// How the variable is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reading {
    /// It is an array.
    pub several: Switch,
    /// HTTP probes try HTTP/2 first.
    pub http2: Switch,
    /// The app's port, for probes that name none; 0 when there is none to fall back to.
    pub user_port: u16,
}

/// How often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Period 0: again and again, quickly, until it passes or ten seconds are over.
    Aggressive,
    /// Once, limited to this time.
    Once(Duration),
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq)]
pub enum Handler {
    /// Requests a page; 200 to 399 passes.
    HttpGet(HttpGet),
    /// Connects and closes.
    TcpSocket {
        /// Host to connect to.
        host: Host,
        /// Port to connect to.
        port: u16,
    },
    /// Asks the standard health service.
    Grpc {
        /// Port on 127.0.0.1.
        port: u16,
        /// Name of the service, possibly empty.
        service: String,
    },
    /// A command, which a sidecar cannot run.
    Exec,
    /// Nothing at all; never passes.
    Nothing,
}

/// An HTTP probe.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpGet {
    /// Host to connect to.
    pub host: Host,
    /// Port to connect to.
    pub port: u16,
    /// Path and query, with a leading slash.
    pub path: String,
    /// Plain or over TLS.
    pub scheme: Scheme,
    /// Headers to send, in order.
    pub headers: Vec<(String, String)>,
    /// Try HTTP/2 with prior knowledge first.
    pub http2: Switch,
}

impl Handler {
    /// The lookup that an attempt which ran out of time was waiting for, if any.
    pub(super) fn looking_up(&self) -> Option<Pending> {
        match self {
            Self::HttpGet(get) => get.host.pending(),
            Self::TcpSocket { host, .. } => host.pending(),
            Self::Grpc { .. } | Self::Exec | Self::Nothing => None,
        }
    }
}

/// What is tried, for people. A path may carry a secret in its query, which is not shown.
impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HttpGet(get) => {
                let scheme = if get.scheme == Scheme::Https { "https" } else { "http" };
                let path = QueryRule::default().url(&get.path).into_owned();
                write!(f, "GET {scheme}://{}{path}", authority(get.host.name(), get.port))
            }
            Self::TcpSocket { host, port } => {
                write!(f, "tcpSocket {}", authority(host.name(), *port))
            }
            Self::Grpc { port, service } => {
                write!(f, "grpc 127.0.0.1:{port}, service {service:?}")
            }
            Self::Exec => f.write_str("exec"),
            Self::Nothing => f.write_str("readiness probe"),
        }
    }
}

impl HttpGet {
    /// The first value of a header that the probe sets.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.as_str())
    }
}

/// Why the probe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is not the JSON of a probe.
    #[error("cannot parse the JSON of {expected}: {source}")]
    Json {
        /// What was expected.
        expected: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// It is `null` or contains one.
    #[error("null is not a probe; leave the variable empty to go without")]
    Null,
    /// A port is not a number from 1 to 65535.
    #[error("cannot probe port {0}, expected a number from 1 to 65535")]
    Port(String),
    /// There are too many.
    #[error("{0} probes are more than {MOST_PROBES}")]
    TooMany(usize),
    /// A header cannot be sent.
    #[error("cannot send the header '{0}'")]
    Header(String),
    /// Neither of the two that there are.
    #[error("cannot probe by the scheme '{0}', expected HTTP or HTTPS")]
    Scheme(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    http_get: Option<HttpGetAction>,
    tcp_socket: Option<SocketAction>,
    grpc: Option<GrpcAction>,
    exec: Option<serde_json::Value>,
    timeout_seconds: Option<i32>,
    period_seconds: Option<i32>,
    success_threshold: Option<i32>,
    failure_threshold: Option<i32>,
    initial_delay_seconds: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpGetAction {
    path: Option<String>,
    port: Option<IntOrString>,
    host: Option<String>,
    scheme: Option<String>,
    http_headers: Option<Vec<HttpHeader>>,
}

#[derive(Debug, Deserialize)]
struct HttpHeader {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
struct SocketAction {
    port: Option<IntOrString>,
    host: Option<String>,
}

#[derive(Debug, Deserialize)]
struct GrpcAction {
    port: Option<IntOrString>,
    service: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum IntOrString {
    Int(i64),
    String(String),
}

/// Reads the variable: one probe, or an array of them when `reading.several` is on.
///
/// # Errors
///
/// The JSON is malformed, is of the other shape, is `null`, or names what cannot be probed.
pub fn parse(json: &str, reading: Reading) -> Result<ReadinessSpec, SpecError> {
    if json.is_empty() {
        return Ok(ReadinessSpec::Always);
    }
    let probes: Vec<Option<Probe>> = if reading.several.is_on() {
        let list: Option<Vec<Option<Probe>>> = serde_json::from_str(json)
            .map_err(|source| SpecError::Json { expected: "an array of probes", source })?;
        list.ok_or(SpecError::Null)?
    } else {
        let probe = serde_json::from_str(json)
            .map_err(|source| SpecError::Json { expected: "a probe", source })?;
        vec![probe]
    };
    if probes.len() > MOST_PROBES {
        return Err(SpecError::TooMany(probes.len()));
    }
    let probes: Result<Vec<ProbeSpec>, SpecError> = probes
        .into_iter()
        .map(|probe| probe.ok_or(SpecError::Null).and_then(|probe| resolve(probe, reading)))
        .collect();
    probes.map(ReadinessSpec::All)
}

fn resolve(probe: Probe, reading: Reading) -> Result<ProbeSpec, SpecError> {
    // Kubernetes fills in its default for zero as for nothing.
    let at_least_one = |number: Option<i32>, default: u32| {
        number.and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 0).unwrap_or(default)
    };
    let period_seconds = u64::try_from(probe.period_seconds.unwrap_or(0)).unwrap_or(0);
    let pace = if period_seconds == 0 {
        Pace::Aggressive
    } else {
        Pace::Once(Duration::from_secs(at_least_one(probe.timeout_seconds, 1).into()))
    };
    let handler = if let Some(action) = probe.http_get {
        Handler::HttpGet(http_get(action, reading)?)
    } else if let Some(action) = probe.tcp_socket {
        Handler::TcpSocket { host: host(action.host), port: port(action.port, reading)? }
    } else if let Some(action) = probe.grpc {
        Handler::Grpc {
            port: port(action.port, reading)?,
            service: action.service.unwrap_or_default(),
        }
    } else if probe.exec.is_some() {
        Handler::Exec
    } else {
        Handler::Nothing
    };
    Ok(ProbeSpec {
        handler,
        pace,
        success_threshold: at_least_one(probe.success_threshold, 1),
        failure_threshold: at_least_one(probe.failure_threshold, 3),
        period: Duration::from_secs(period_seconds.max(1)),
        initial_delay: Duration::from_secs(
            probe.initial_delay_seconds.and_then(|delay| u64::try_from(delay).ok()).unwrap_or(0),
        ),
    })
}

fn http_get(action: HttpGetAction, reading: Reading) -> Result<HttpGet, SpecError> {
    let path = action.path.unwrap_or_default();
    let headers = action.http_headers.unwrap_or_default();
    for HttpHeader { name, value } in &headers {
        let valid = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && http::HeaderValue::from_str(value).is_ok();
        if !valid {
            return Err(SpecError::Header(name.clone()));
        }
    }
    Ok(HttpGet {
        host: host(action.host),
        port: port(action.port, reading)?,
        path: origin_form(&path),
        scheme: match action.scheme.as_deref().unwrap_or("") {
            "" => Scheme::Http,
            scheme if scheme.eq_ignore_ascii_case("http") => Scheme::Http,
            scheme if scheme.eq_ignore_ascii_case("https") => Scheme::Https,
            other => return Err(SpecError::Scheme(other.to_owned())),
        },
        headers: headers.into_iter().map(|header| (header.name, header.value)).collect(),
        http2: reading.http2,
    })
}

fn host(host: Option<String>) -> Host {
    Host::new(&host.filter(|host| !host.is_empty()).unwrap_or_else(|| "127.0.0.1".to_owned()))
}

/// A number, or the app's own port where none is given or one is named: a revision has one port,
/// whatever its name is.
fn port(port: Option<IntOrString>, reading: Reading) -> Result<u16, SpecError> {
    let user_port = Some(reading.user_port);
    let (number, shown) = match port {
        None => (user_port, "(none given)".to_owned()),
        Some(IntOrString::Int(0)) => (user_port, "0".to_owned()),
        Some(IntOrString::Int(number)) => (u16::try_from(number).ok(), number.to_string()),
        Some(IntOrString::String(text)) => {
            let number = match text.parse() {
                Err(_) if text.is_empty() || is_port_name(&text) => user_port,
                parsed => parsed.ok(),
            };
            (number, format!("'{text}'"))
        }
    };
    number.filter(|number| *number > 0).ok_or(SpecError::Port(shown))
}

/// The name of a port as Kubernetes allows it: 15 characters, a letter among them.
fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(json: &str) -> ProbeSpec {
        match parse(json, Reading::default()).unwrap() {
            ReadinessSpec::All(mut probes) if probes.len() == 1 => probes.remove(0),
            other => panic!("expected one probe, got {other:?}"),
        }
    }

    #[test]
    fn knatives_probes_are_parsed() {
        let probe = one(r#"{"httpGet":{"path":"health?x=1","port":"8080","scheme":"HTTPS",
            "httpHeaders":[{"name":"X-Foo","value":"bar"}]},
            "periodSeconds":2,"timeoutSeconds":3}"#);
        assert_eq!(probe.pace, Pace::Once(Duration::from_secs(3)));
        let Handler::HttpGet(get) = probe.handler else { panic!("expected httpGet") };
        assert_eq!((get.host.name(), get.port), ("127.0.0.1", 8080));
        assert_eq!((get.path.as_str(), get.scheme), ("/health?x=1", Scheme::Https));
        assert_eq!(get.headers, [("X-Foo".to_owned(), "bar".to_owned())]);

        let probe = one(r#"{"tcpSocket":{"port":8080,"host":"127.0.0.1"},"successThreshold":3}"#);
        assert_eq!((probe.pace, probe.success_threshold), (Pace::Aggressive, 3));

        let probe = one(r#"{"grpc":{"port":9000,"service":null}}"#);
        assert_eq!(probe.handler, Handler::Grpc { port: 9000, service: String::new() });
        assert_eq!(one(r#"{"exec":{"command":["true"]}}"#).handler, Handler::Exec);
        assert_eq!(one("{}").handler, Handler::Nothing);
    }

    /// Knative accepts `null` and dies with a nil dereference on the first probe.
    #[test]
    fn null_is_refused_with_a_message() {
        for (json, several) in [("null", Switch::Off), ("null", Switch::On), ("[null]", Switch::On)]
        {
            let reading = Reading { several, ..Reading::default() };
            let error = parse(json, reading).unwrap_err().to_string();
            assert!(error.contains("null is not a probe"), "{json}: {error}");
        }
    }

    #[test]
    fn probes_that_cannot_be_sent_are_refused() {
        for json in [
            "{",
            "[]",
            "1",
            r#"{"httpGet":{"path":"/"}}"#,
            r#"{"tcpSocket":{"port":70000}}"#,
            r#"{"httpGet":{"port":1,"httpHeaders":[{"name":"a b","value":""}]}}"#,
        ] {
            assert!(parse(json, Reading::default()).is_err(), "{json}");
        }
        let reading = Reading { several: Switch::On, ..Reading::default() };
        assert!(parse("{}", reading).is_err());
    }

    /// The platform resolves them before the sidecar sees them; a person who writes the variable
    /// by hand means the same.
    #[test]
    fn a_named_or_missing_port_means_the_apps_port() {
        let reading = Reading { user_port: 8080, ..Reading::default() };
        for json in [
            r#"{"tcpSocket":{}}"#,
            r#"{"tcpSocket":{"port":0}}"#,
            r#"{"tcpSocket":{"port":""}}"#,
            r#"{"tcpSocket":{"port":"user-port"}}"#,
            r#"{"tcpSocket":{"port":"h2c"}}"#,
            r#"{"tcpSocket":{"port":"8080"}}"#,
        ] {
            let ReadinessSpec::All(probes) = parse(json, reading).unwrap() else {
                panic!("{json}")
            };
            let expected = Handler::TcpSocket { host: Host::new("127.0.0.1"), port: 8080 };
            assert_eq!(probes[0].handler, expected, "{json}");
        }
        for json in [
            r#"{"tcpSocket":{"port":-1}}"#,
            r#"{"tcpSocket":{"port":"70000"}}"#,
            r#"{"tcpSocket":{"port":"a b"}}"#,
            r#"{"tcpSocket":{"port":"a-name-that-is-too-long"}}"#,
        ] {
            assert!(parse(json, reading).is_err(), "{json}");
        }
    }

    #[test]
    fn schemes_are_case_insensitive() {
        for (scheme, expected) in [
            ("", Some(Scheme::Http)),
            ("http", Some(Scheme::Http)),
            ("HTTPS", Some(Scheme::Https)),
            ("Https", Some(Scheme::Https)),
            ("ftp", None),
        ] {
            let json = format!(r#"{{"httpGet":{{"port":1,"scheme":"{scheme}"}}}}"#);
            let scheme = parse(&json, Reading::default()).ok().map(|spec| match spec {
                ReadinessSpec::All(probes) => match &probes[0].handler {
                    Handler::HttpGet(get) => get.scheme,
                    other => panic!("{other:?}"),
                },
                ReadinessSpec::Always => panic!("expected a probe"),
            });
            assert_eq!(scheme, expected, "{json}");
        }
    }
}
