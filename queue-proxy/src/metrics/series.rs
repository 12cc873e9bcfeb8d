//! Which series an exchange belongs to, and a bound on how many there are.

use std::collections::HashMap;
use std::hash::Hash;

use http::{Method, Version};
use metrics::Label;

use super::Observation;
use super::names::STATUS;

/// Series of one instrument before further ones are folded into one. OpenTelemetry's default is
/// 2000; each of ours owns five histograms.
const MOST_SERIES: usize = 400;
/// The longest label value that a client may choose.
const LONGEST_VALUE: usize = 128;

/// Handles by key. Once it is full, all further keys share one series.
#[derive(Debug)]
pub(super) struct SeriesCache<K, V> {
    known: HashMap<K, V>,
    overflow: Option<V>,
}

impl<K, V> Default for SeriesCache<K, V> {
    fn default() -> Self {
        Self { known: HashMap::new(), overflow: None }
    }
}

// === impl SeriesCache ===

impl<K: Clone + Eq + Hash, V: Clone> SeriesCache<K, V> {
    /// The handle for `key`; `make` is told `None` for the series that all further keys share.
    pub(super) fn get_or_insert(&mut self, key: &K, make: impl Fn(Option<&K>) -> V) -> V {
        if let Some(value) = self.known.get(key) {
            return value.clone();
        }
        if self.known.len() >= MOST_SERIES {
            return self.overflow.get_or_insert_with(|| make(None)).clone();
        }
        let value = make(Some(key));
        self.known.insert(key.clone(), value.clone());
        value
    }
}

/// The labels of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SeriesKey {
    method: &'static str,
    status: u16,
    version: Version,
    scheme: &'static str,
    host: String,
    tag: String,
}

// === impl SeriesKey ===

impl SeriesKey {
    /// The key of an exchange, with values that clients choose cut to a bound.
    pub(super) fn of(observation: &Observation<'_>) -> Self {
        Self {
            method: known_method(observation.method),
            status: observation.status,
            version: observation.version,
            scheme: observation.scheme,
            host: bounded(observation.host).to_owned(),
            tag: bounded(observation.tag).to_owned(),
        }
    }
}

fn bounded(value: &str) -> &str {
    let mut end = value.len().min(LONGEST_VALUE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

/// OpenTelemetry's known methods; a client must not be able to invent series.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// The host and, unless it is the scheme's own, the port.
fn host_and_port<'a>(host: &'a str, scheme: &str) -> (&'a str, Option<u16>) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
        _ => (host, None),
    };
    let default = if scheme == "https" { 443 } else { 80 };
    (name.trim_matches(['[', ']']), port.filter(|port| *port != default))
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

fn overflow() -> Vec<Label> {
    vec![Label::from_static_parts("otel_metric_overflow", "true")]
}

/// Labels of `http_server_*`.
pub(super) fn server_labels(key: Option<&SeriesKey>) -> Vec<Label> {
    let Some(key) = key else { return overflow() };
    let (address, port) = host_and_port(&key.host, key.scheme);
    let mut labels = shared_labels(key, version_name(key.version));
    labels.push(Label::new("server_address", address.to_owned()));
    if let Some(port) = port {
        labels.push(Label::new("server_port", port.to_string()));
    }
    labels.push(Label::new("url_scheme", key.scheme));
    labels
}

/// Labels of `http_client_*`.
pub(super) fn client_labels(key: Option<&SeriesKey>, app_port: u16) -> Vec<Label> {
    let Some(key) = key else { return overflow() };
    let version = if key.version == Version::HTTP_2 { "2.0" } else { "1.1" };
    let mut labels = shared_labels(key, version);
    labels.push(Label::new("server_address", "127.0.0.1"));
    labels.push(Label::new("server_port", app_port.to_string()));
    labels.push(Label::new("url_scheme", "http"));
    labels
}

fn shared_labels(key: &SeriesKey, version: &'static str) -> Vec<Label> {
    vec![
        Label::new("http_request_method", key.method),
        Label::new(STATUS, key.status.to_string()),
        Label::new("kn_route_tag", key.tag.clone()),
        Label::new("network_protocol_name", "http"),
        Label::new("network_protocol_version", version),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_cannot_invent_series_without_end() {
        let mut cache = SeriesCache::default();
        for number in 0..10_000 {
            cache.get_or_insert(&number, |key| key.is_some());
        }
        assert_eq!(cache.known.len(), MOST_SERIES);
        assert!(!cache.get_or_insert(&5000, |key| key.is_some()));
        assert_eq!(known_method(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
        assert_eq!(bounded(&"é".repeat(100)).len(), LONGEST_VALUE);
    }

    #[test]
    fn the_host_is_split_as_opentelemetry_does() {
        for (host, scheme, expected) in [
            ("a.example", "http", ("a.example", None)),
            ("a.example:80", "http", ("a.example", None)),
            ("a.example:80", "https", ("a.example", Some(80))),
            ("127.0.0.1:8012", "http", ("127.0.0.1", Some(8012))),
            ("[::1]:8012", "http", ("::1", Some(8012))),
            ("[::1]", "http", ("::1", None)),
            ("a:junk", "http", ("a", None)),
        ] {
            assert_eq!(host_and_port(host, scheme), expected, "{host}");
        }
    }
}
