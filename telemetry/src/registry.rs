//! Every metric of a process and its value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit,
};
use parking_lot::Mutex;

use crate::family::{Family, Series, Value};
use crate::histogram::{BucketCounts, bounds_of};
use crate::metric::{Kind, Metric};
use crate::process;

/// The most series of all metrics together. Crates bound the labels that peers can choose far below
/// it; this is the last bound, should one forget to.
pub const SERIES_MAX: usize = 10_000;

/// Registrations that were refused because there were [`SERIES_MAX`] series.
pub const SERIES_REFUSED: Metric = Metric::counter(
    "tidegate_metrics_series_refused_total",
    "Series that were not made because there were too many; what they would count is lost.",
);

/// Keeps the values. Clones are the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Mutex<Families>>,
    refused: Counter,
}

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Entry>,
    series: usize,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    help: SharedString,
    series: BTreeMap<Vec<Label>, Cell>,
}

#[derive(Debug)]
enum Cell {
    Counter(Arc<AtomicU64>),
    /// The bits of a floating point number.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<BucketCounts>),
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// An empty registry, with its own metrics only.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Self { shared: Arc::default(), refused: Counter::noop() };
        registry.refused = SERIES_REFUSED.register_counter(&registry, &[]);
        registry
    }

    /// Every metric that has a series, by name, those of the process included.
    #[must_use]
    pub fn gather(&self) -> Vec<Family> {
        let families = self.shared.lock();
        let mut gathered: Vec<Family> = families
            .by_name
            .iter()
            .filter(|(_, entry)| !entry.series.is_empty())
            .map(|(name, entry)| entry.gather(name))
            .collect();
        drop(families);
        gathered.extend(process::families());
        gathered
    }

    fn describe(&self, name: &KeyName, kind: Kind, help: SharedString) {
        self.shared.lock().entry(name.as_str(), kind).help = help;
    }

    /// The cell of a series, made when it is new; `None` when there are too many, or when the name
    /// is taken by another kind of metric.
    fn cell<T>(
        &self,
        key: &Key,
        kind: Kind,
        make: impl FnOnce() -> Cell,
        get: impl FnOnce(&Cell) -> Option<Arc<T>>,
    ) -> Option<Arc<T>> {
        let mut families = self.shared.lock();
        let is_full = families.series >= SERIES_MAX;
        let entry = families.entry(key.name(), kind);
        let labels: Vec<Label> = key.labels().cloned().collect();
        if let Some(cell) = entry.series.get(&labels) {
            return get(cell);
        }
        if is_full || entry.kind != kind {
            drop(families);
            self.refused.increment(1);
            return None;
        }
        let cell = entry.series.entry(labels).or_insert_with(make);
        let handle = get(cell);
        families.series += 1;
        handle
    }
}

impl Families {
    fn entry(&mut self, name: &str, kind: Kind) -> &mut Entry {
        let entry = || Entry { kind, help: "".into(), series: BTreeMap::new() };
        self.by_name.entry(name.to_owned()).or_insert_with(entry)
    }
}

impl Entry {
    fn gather(&self, name: &str) -> Family {
        let series = self.series.iter();
        let series = series
            .map(|(labels, cell)| Series { labels: labels.clone(), value: cell.value() })
            .collect();
        Family { name: name.to_owned(), kind: self.kind, help: self.help.clone(), series }
    }
}

impl Cell {
    fn value(&self) -> Value {
        match self {
            // Beyond 2^53 the last digits are lost, as they are in Prometheus itself.
            Self::Counter(count) => Value::Number(count.load(Ordering::Relaxed) as f64),
            Self::Gauge(bits) => Value::Number(f64::from_bits(bits.load(Ordering::Relaxed))),
            Self::Histogram(counts) => Value::Buckets(counts.snapshot()),
        }
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Counter, help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Gauge, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, Kind::Histogram, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let make = || Cell::Counter(Arc::default());
        let get = |cell: &Cell| match cell {
            Cell::Counter(count) => Some(Arc::clone(count)),
            _ => None,
        };
        self.cell(key, Kind::Counter, make, get).map_or(Counter::noop(), Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let make = || Cell::Gauge(Arc::default());
        let get = |cell: &Cell| match cell {
            Cell::Gauge(bits) => Some(Arc::clone(bits)),
            _ => None,
        };
        self.cell(key, Kind::Gauge, make, get).map_or(Gauge::noop(), Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let make = || Cell::Histogram(Arc::new(BucketCounts::new(bounds_of(key.name()))));
        let get = |cell: &Cell| match cell {
            Cell::Histogram(counts) => Some(Arc::clone(counts)),
            _ => None,
        };
        self.cell(key, Kind::Histogram, make, get).map_or(Histogram::noop(), Histogram::from_arc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HITS: Metric = Metric::counter("hits_total", "Hits.").labelled(&["kind"]);

    fn number(registry: &Registry, name: &str) -> f64 {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name == name).expect("registered");
        match &family.series[0].value {
            Value::Number(number) => *number,
            Value::Buckets(_) => panic!("{family:?}"),
        }
    }

    #[test]
    fn handles_of_one_series_count_together() {
        let registry = Registry::new();
        HITS.register_counter(&registry, &["a"]).increment(2);
        HITS.register_counter(&registry, &["a"]).increment(3);
        HITS.register_counter(&registry, &["b"]).increment(7);
        assert_eq!(number(&registry, "hits_total"), 5.0);
    }

    #[test]
    fn a_flood_of_series_is_bounded_and_counted() {
        let registry = Registry::new();
        let gauge = Metric::gauge("flood", "").labelled(&["n"]);
        for n in 0..SERIES_MAX + 10 {
            gauge.register_gauge_labelled(&registry, vec![Label::new("n", n.to_string())]).set(1.0);
        }
        assert_eq!(number(&registry, SERIES_REFUSED.name), 11.0);
    }

    #[test]
    fn a_name_has_one_kind() {
        let registry = Registry::new();
        HITS.register_counter(&registry, &["a"]).increment(1);
        let other = Metric::gauge("hits_total", "").labelled(&["kind"]);
        other.register_gauge(&registry, &["a"]).set(9.0);
        other.register_gauge(&registry, &["b"]).set(9.0);
        assert_eq!(number(&registry, "hits_total"), 1.0);
    }
}
