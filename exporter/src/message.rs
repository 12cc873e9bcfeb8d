//! From readings to messages: OTLP in gzip, or Prometheus' remote write in snappy.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use tidegate_otlp::{Encoding, Resource, metrics};
use tidegate_proto::Message as _;
use tidegate_proto::prometheus::v1::{Label as LabelMessage, Sample, TimeSeries, WriteRequest};
use tidegate_telemetry::{Family, Label, Series, Value};

/// Most series in one message, each counted as often as it is in it: with histograms half a
/// megabyte before it is compressed, an eighth of what a receiver of gRPC takes by default.
pub const SERIES_PER_MESSAGE_MAX: usize = 2_000;

/// Time between two messages that say what metrics mean: texts that do not change would be a third
/// of every message.
const DESCRIBE_EVERY: Duration = Duration::from_secs(3600);

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenTelemetry's `ExportMetricsServiceRequest`.
    Otlp,
    /// Prometheus' `WriteRequest`, version 1.
    RemoteWrite,
}

impl Format {
    /// How its messages are compressed.
    #[must_use]
    pub const fn encoding(self) -> Encoding {
        match self {
            Self::Otlp => Encoding::Gzip,
            Self::RemoteWrite => Encoding::Snappy,
        }
    }
}

/// Whose metrics they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The service: `service.name` in OTLP, the label `job` in Prometheus.
    pub service: String,
    /// The process: `service.instance.id`, or the label `instance`.
    pub instance: String,
    /// What else is said of it, such as its site: attributes, or labels.
    pub labels: Vec<(String, String)>,
}

/// A reading of the registry.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was taken.
    pub at: SystemTime,
    /// What of it leaves.
    pub families: Vec<Family>,
}

/// A message that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The compressed body.
    pub body: Vec<u8>,
    /// Values in it: data points of OTLP, samples of Prometheus.
    pub points: u64,
    /// When the last of them was read, milliseconds since 1970.
    pub last_ms: u64,
}

/// Makes messages of readings.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    identity: Identity,
    /// When the process began to count.
    started: SystemTime,
    described: Option<SystemTime>,
}

/// Milliseconds since 1970; 0 before that.
#[must_use]
pub fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Encoder {
    /// An encoder of values that count since `started`.
    #[must_use]
    pub fn new(format: Format, identity: Identity, started: SystemTime) -> Self {
        Self { format, identity, started, described: None }
    }

    /// The messages that hold these readings, from the oldest on; none when there is nothing in
    /// them.
    pub fn encode(&mut self, readings: Vec<Reading>) -> Vec<Encoded> {
        split(readings).into_iter().map(|part| self.message(part)).collect()
    }

    fn message(&mut self, mut readings: Vec<Reading>) -> Encoded {
        let last = readings.last().map_or(UNIX_EPOCH, |reading| reading.at);
        let (body, points) = match self.format {
            Format::Otlp => {
                self.describe(&mut readings, last);
                let points = readings.iter().flat_map(|reading| &reading.families);
                let points = points.map(|family| family.series.len() as u64).sum();
                (self.otlp(&readings), points)
            }
            Format::RemoteWrite => self.remote_write(&readings),
        };
        Encoded { body, points, last_ms: millis(last) }
    }

    /// Leaves out what metrics mean, unless it is time to say it.
    fn describe(&mut self, readings: &mut [Reading], now: SystemTime) {
        let is_recent = |before: SystemTime| {
            now.duration_since(before).is_ok_and(|since| since < DESCRIBE_EVERY)
        };
        if !self.described.is_some_and(is_recent) {
            self.described = Some(now);
            return;
        }
        for family in readings.iter_mut().flat_map(|reading| &mut reading.families) {
            family.help = "".into();
        }
    }

    fn otlp(&self, readings: &[Reading]) -> Vec<u8> {
        let Identity { service, instance, labels } = &self.identity;
        let mut attributes = vec![
            ("service.name".into(), service.clone()),
            ("service.instance.id".into(), instance.clone()),
            ("service.version".into(), env!("CARGO_PKG_VERSION").to_owned()),
        ];
        attributes.extend(labels.iter().map(|(key, value)| (key.clone().into(), value.clone())));
        let resource = Resource { attributes };
        let gathered = readings.iter().map(|reading| (&reading.families[..], reading.at));
        let request = metrics::metrics(gathered, &resource, self.started);
        gzip(&request.encode_to_vec())
    }

    fn remote_write(&self, readings: &[Reading]) -> (Vec<u8>, u64) {
        let mut all: BTreeMap<Vec<(String, String)>, Vec<Sample>> = BTreeMap::new();
        for Reading { at, families } in readings {
            let timestamp = i64::try_from(millis(*at)).unwrap_or(i64::MAX);
            for family in families {
                for series in &family.series {
                    for (suffix, bound, value) in samples(series) {
                        let labels = self.labels(&family.name, suffix, &series.labels, bound);
                        all.entry(labels).or_default().push(Sample { value, timestamp });
                    }
                }
            }
        }
        let points = all.values().map(|samples| samples.len() as u64).sum();
        let label = |(name, value)| LabelMessage { name, value };
        let timeseries = all.into_iter().map(|(labels, samples)| TimeSeries {
            labels: labels.into_iter().map(label).collect(),
            samples,
        });
        let request = WriteRequest { timeseries: timeseries.collect() };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
        // It refuses what is longer than four gigabytes only.
        (body.unwrap_or_default(), points)
    }

    /// The labels of one series of Prometheus, by name. An empty label is none.
    fn labels(
        &self,
        name: &str,
        suffix: &str,
        labels: &[Label],
        bound: Option<String>,
    ) -> Vec<(String, String)> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let own = self.identity.labels.iter();
        all.extend(own.map(|(key, value)| (label_name(key), value.clone())));
        all.extend(labels.iter().map(|one| (one.key().to_owned(), one.value().to_owned())));
        all.extend(bound.map(|bound| ("le".to_owned(), bound)));
        all.insert("job".to_owned(), self.identity.service.clone());
        all.insert("instance".to_owned(), self.identity.instance.clone());
        all.insert("__name__".to_owned(), format!("{name}{suffix}"));
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// An attribute's key as the name of a label.
fn label_name(key: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    key.chars().map(letter).collect()
}

/// A series as Prometheus has it: the suffix of the name, the bound of a bucket, the value.
fn samples(series: &Series) -> Vec<(&'static str, Option<String>, f64)> {
    match &series.value {
        Value::Number(value) => vec![("", None, *value)],
        Value::Buckets(buckets) => {
            let bounds = buckets.bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            let counts = buckets.cumulative.iter().map(|count| *count as f64);
            let mut all: Vec<_> =
                bounds.zip(counts).map(|(bound, count)| ("_bucket", Some(bound), count)).collect();
            all.push(("_sum", None, buckets.sum));
            all.push(("_count", None, buckets.count as f64));
            all
        }
    }
}

/// The readings in parts of [`SERIES_PER_MESSAGE_MAX`] at most, in their order.
fn split(readings: Vec<Reading>) -> Vec<Vec<Reading>> {
    let mut parts: Vec<Vec<Reading>> = Vec::new();
    let mut room = 0;
    for Reading { at, families } in readings {
        let mut is_new = true;
        for mut family in families {
            let mut rest = std::mem::take(&mut family.series);
            while !rest.is_empty() {
                if room == 0 {
                    parts.push(Vec::new());
                    room = SERIES_PER_MESSAGE_MAX;
                    is_new = true;
                }
                let later = rest.split_off(rest.len().min(room));
                room -= rest.len();
                let series = std::mem::replace(&mut rest, later);
                let part = parts.last_mut().expect("there is a part with room");
                if std::mem::take(&mut is_new) {
                    part.push(Reading { at, families: Vec::new() });
                }
                let reading = part.last_mut().expect("a reading was begun");
                let Family { name, kind, help, .. } = family.clone();
                reading.families.push(Family { name, kind, help, series });
            }
        }
    }
    parts
}

/// Small messages, seldom: the best compression costs a millisecond.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests;
