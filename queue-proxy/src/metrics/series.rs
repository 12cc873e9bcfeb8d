//! Which series an exchange belongs to, and a bound on how many there are.

use std::collections::HashMap;

use http::{Method, Version};
use tidegate_telemetry::Label;

use super::Observation;
use super::names::{OVERFLOW, STATUS};

/// Statuses with a series of their own: more than there are registered ones.
const MOST_STATUSES: usize = 100;
/// Pairs of host and route tag, which clients choose, with series of their own. A service has its
/// names inside and outside the cluster, and one for each tag.
const MOST_PLACES: usize = 8;
/// Bytes that series with host and tag may take on the page, and again those without.
const BUDGET_BYTES: usize = 1 << 20;
/// The longest label value that a client may choose.
const LONGEST_VALUE: usize = 128;

/// Handles by status. Once it is full, all further ones share one series.
#[derive(Debug)]
pub(super) struct StatusCache<V> {
    known: HashMap<u16, V>,
    overflow: Option<V>,
}

impl<V> Default for StatusCache<V> {
    fn default() -> Self {
        Self { known: HashMap::new(), overflow: None }
    }
}

impl<V: Clone> StatusCache<V> {
    /// The handle for `status`; `make` gets `None` for the series that all further ones share.
    pub(super) fn get_or_insert(&mut self, status: u16, make: impl Fn(Option<u16>) -> V) -> V {
        if let Some(value) = self.known.get(&status) {
            return value.clone();
        }
        if self.known.len() >= MOST_STATUSES {
            return self.overflow.get_or_insert_with(|| make(None)).clone();
        }
        let value = make(Some(status));
        self.known.insert(status, value.clone());
        value
    }
}

/// Handles by labels, bounded in bytes on the page. When host and tag are too many, exchanges are
/// distinguished by method and status alone; when those are too many as well, not at all.
#[derive(Debug)]
pub(super) struct SeriesCache<V> {
    known: HashMap<SeriesKey, V>,
    places: Vec<(String, String)>,
    fine_bytes: usize,
    coarse_bytes: usize,
    overflow: Option<V>,
}

impl<V> Default for SeriesCache<V> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            places: Vec::new(),
            fine_bytes: 0,
            coarse_bytes: 0,
            overflow: None,
        }
    }
}

impl<V: Clone> SeriesCache<V> {
    /// The handle for `key`, or for what is left of it; `make` gets `None` for the series that
    /// all further ones share.
    pub(super) fn get_or_insert(
        &mut self,
        key: SeriesKey,
        make: impl Fn(Option<&SeriesKey>) -> V,
    ) -> V {
        if let Some(value) = self.known.get(&key) {
            return value.clone();
        }
        if self.has_room_for(&key) {
            self.fine_bytes += page_bytes(&key);
            return self.insert(key, make);
        }
        let coarse = key.coarse();
        if let Some(value) = self.known.get(&coarse) {
            return value.clone();
        }
        let bytes = page_bytes(&coarse);
        if self.coarse_bytes + bytes > BUDGET_BYTES {
            return self.overflow.get_or_insert_with(|| make(None)).clone();
        }
        self.coarse_bytes += bytes;
        self.insert(coarse, make)
    }

    /// Whether host and tag of a new series may be shown; a new pair of them gets its place.
    fn has_room_for(&mut self, key: &SeriesKey) -> bool {
        if self.fine_bytes + page_bytes(key) > BUDGET_BYTES {
            return false;
        }
        let is_known = self.places.iter().any(|(host, tag)| *host == key.host && *tag == key.tag);
        if !is_known {
            if self.places.len() >= MOST_PLACES {
                return false;
            }
            self.places.push((key.host.clone(), key.tag.clone()));
        }
        true
    }

    fn insert(&mut self, key: SeriesKey, make: impl Fn(Option<&SeriesKey>) -> V) -> V {
        let value = make(Some(&key));
        self.known.insert(key, value.clone());
        value
    }
}

/// Lines of the page that belong to one series: two histograms of durations and three of sizes,
/// each with a line for every bound (14 and 15), one for all, the sum and the count.
const LINES: usize = 2 * (14 + 3) + 3 * (15 + 3);
/// What such a line takes beside the labels of its series: name, scope, bound and number.
const LINE_BYTES: usize = 250;

/// What a series takes on the page, at most.
fn page_bytes(key: &SeriesKey) -> usize {
    let labels = server_labels(Some(key));
    // Quotes, backslashes and line ends take two characters.
    let escaped = |text: &str| text.len() + text.matches(['"', '\\', '\n']).count();
    let label = |label: &Label| label.key().len() + escaped(label.value()) + "=\"\",".len();
    LINES * (LINE_BYTES + labels.iter().map(label).sum::<usize>())
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
    detail: Detail,
}

/// How many of an exchange's labels its series has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Detail {
    Fine,
    /// Method and status only.
    Coarse,
}

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
            detail: Detail::Fine,
        }
    }

    /// The key of all exchanges with the same method and status.
    fn coarse(&self) -> Self {
        Self {
            version: Version::HTTP_11,
            scheme: "http",
            host: String::new(),
            tag: String::new(),
            detail: Detail::Coarse,
            ..*self
        }
    }
}

fn bounded(value: &str) -> &str {
    &value[..value.floor_char_boundary(LONGEST_VALUE)]
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

/// Labels of exchanges that share a series because there are too many kinds of them.
fn overflow(key: Option<&SeriesKey>) -> Vec<Label> {
    let mut labels = Vec::new();
    if let Some(key) = key {
        labels.push(Label::new("http_request_method", key.method));
        labels.push(Label::new(STATUS, key.status.to_string()));
    }
    labels.push(Label::from_static_parts(OVERFLOW, "true"));
    labels
}

/// The key when its host and tag are to be shown.
fn fine(key: Option<&SeriesKey>) -> Option<&SeriesKey> {
    key.filter(|key| key.detail == Detail::Fine)
}

/// Whether exchanges of this key share a series with others of other labels.
pub(super) fn is_folded(key: Option<&SeriesKey>) -> bool {
    fine(key).is_none()
}

/// Labels of `http_server_*`.
pub(super) fn server_labels(key: Option<&SeriesKey>) -> Vec<Label> {
    let Some(key) = fine(key) else { return overflow(key) };
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
    let Some(key) = fine(key) else { return overflow(key) };
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

    fn key(number: u16, host: &str) -> SeriesKey {
        SeriesKey {
            method: known_method(&Method::GET),
            status: number,
            version: Version::HTTP_11,
            scheme: "http",
            host: host.to_owned(),
            tag: "kn:disabled".to_owned(),
            detail: Detail::Fine,
        }
    }

    #[test]
    fn the_number_of_hosts_that_clients_choose_is_bounded() {
        let mut cache = SeriesCache::default();
        let series: Vec<bool> = (0..1000)
            .map(|number| {
                let make = |key: Option<&SeriesKey>| fine(key).is_some();
                cache.get_or_insert(key(200, &format!("h{number}")), make)
            })
            .collect();
        let expected: Vec<bool> = (0..1000).map(|number| number < MOST_PLACES).collect();
        assert_eq!(series, expected);
        // All further ones share one, and the first ones keep theirs.
        assert_eq!(cache.known.len(), MOST_PLACES + 1);
        assert!(cache.get_or_insert(key(200, "h1"), |_| false));
        assert!(cache.get_or_insert(key(404, "h1"), |key| fine(key).is_some()));
        assert_eq!(known_method(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
        assert_eq!(bounded(&"é".repeat(100)).len(), LONGEST_VALUE);
    }

    #[test]
    fn the_bytes_of_all_series_are_bounded() {
        let mut cache = SeriesCache::default();
        for number in 0..1000 {
            cache.get_or_insert(key(number, &"\"".repeat(LONGEST_VALUE)), |key| key.is_some());
        }
        assert!(cache.fine_bytes <= BUDGET_BYTES && cache.coarse_bytes <= BUDGET_BYTES);
        assert!(cache.known.len() > 20, "{}", cache.known.len());
        assert_eq!(cache.overflow, Some(false));
        let mut statuses = StatusCache::default();
        for status in 0..1000 {
            statuses.get_or_insert(status, |status| status.is_some());
        }
        assert_eq!((statuses.known.len(), statuses.overflow), (MOST_STATUSES, Some(false)));
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
