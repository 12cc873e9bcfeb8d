//! A metric's declaration: its name, its kind and its meaning.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};

/// What a metric's value does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It only rises, from zero at the process's start.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It counts events by their size.
    Histogram,
}

impl Kind {
    /// Its name in Prometheus' text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The instrumentation scope that OpenTelemetry groups metrics by, shown as labels on every series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// `otel_scope_name`.
    pub name: &'static str,
    /// `otel_scope_version`.
    pub version: &'static str,
}

impl Scope {
    /// The scope of what Tidegate itself counts.
    pub const TIDEGATE: Self = Self { name: "tidegate", version: env!("CARGO_PKG_VERSION") };

    fn labels(self) -> [Label; 3] {
        [
            Label::from_static_parts("otel_scope_name", self.name),
            Label::from_static_parts("otel_scope_schema_url", ""),
            Label::from_static_parts("otel_scope_version", self.version),
        ]
    }
}

/// One metric of a crate, declared once as a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name on the wire, with its unit last: `_seconds`, `_bytes`, and `_total` of a counter.
    pub name: &'static str,
    /// What its value does.
    pub kind: Kind,
    /// Its meaning, in one sentence.
    pub help: &'static str,
    /// The names of its labels, without those of the scope.
    pub labels: &'static [&'static str],
    /// Its scope; `None` for what describes the process as a whole.
    pub scope: Option<Scope>,
}

impl Metric {
    /// A counter without labels of its own.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Counter, help)
    }

    /// A gauge without labels of its own.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Gauge, help)
    }

    /// A histogram without labels of its own. Its unit chooses its bounds.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Histogram, help)
    }

    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help, labels: &[], scope: Some(Scope::TIDEGATE) }
    }

    /// The same with these labels.
    #[must_use]
    pub const fn labelled(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// The same in another scope.
    #[must_use]
    pub const fn scoped(self, scope: Option<Scope>) -> Self {
        Self { scope, ..self }
    }

    /// The counter of one series, whose labels are `values` in the order of [`Metric::labels`].
    pub fn register_counter(&self, recorder: &dyn Recorder, values: &[&'static str]) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        recorder.describe_counter(KeyName::from_const_str(self.name), None, self.help.into());
        recorder.register_counter(&self.key(self.pairs(values)), &METADATA)
    }

    /// The gauge of one series.
    pub fn register_gauge(&self, recorder: &dyn Recorder, values: &[&'static str]) -> Gauge {
        self.register_gauge_labelled(recorder, self.pairs(values))
    }

    /// The gauge of one series with labels that are known at run time only.
    pub fn register_gauge_labelled(&self, recorder: &dyn Recorder, labels: Vec<Label>) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        recorder.describe_gauge(KeyName::from_const_str(self.name), None, self.help.into());
        recorder.register_gauge(&self.key(labels), &METADATA)
    }

    /// The histogram of one series with labels that are known at run time only.
    pub fn register_histogram(&self, recorder: &dyn Recorder, labels: Vec<Label>) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        recorder.describe_histogram(KeyName::from_const_str(self.name), None, self.help.into());
        recorder.register_histogram(&self.key(labels), &METADATA)
    }

    fn pairs(&self, values: &[&'static str]) -> Vec<Label> {
        debug_assert_eq!(self.labels.len(), values.len(), "{}", self.name);
        let pairs = self.labels.iter().zip(values);
        pairs.map(|(name, value)| Label::from_static_parts(name, value)).collect()
    }

    pub(crate) fn scope_labels(&self) -> Vec<Label> {
        self.scope.map(Scope::labels).into_iter().flatten().collect()
    }

    fn key(&self, labels: Vec<Label>) -> Key {
        let mut all = self.scope_labels();
        all.extend(labels);
        Key::from_parts(self.name, all)
    }
}

/// The origin of a metric, for recorders that filter by it; the [`Registry`](crate::Registry) does
/// not.
const METADATA: Metadata<'static> = Metadata::new("tidegate", Level::INFO, None);
