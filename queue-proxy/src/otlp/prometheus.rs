//! Reading our own metrics page back, so that both exporters show the same numbers.

use std::collections::BTreeMap;

/// All metrics of a page.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Samples {
    /// Gauges and counters, in order.
    pub(super) numbers: Vec<Number>,
    /// Histograms by name and labels.
    pub(super) histograms: BTreeMap<(String, Labels), Buckets>,
}

/// Names and values, in order.
pub(super) type Labels = Vec<(String, String)>;

/// One number.
#[derive(Debug, PartialEq)]
pub(super) struct Number {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) kind: NumberKind,
}

/// Whether a number only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    Gauge,
    Counter,
}

/// One histogram.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Buckets {
    /// Upper bound and cumulative count.
    pub(super) cumulative: Vec<(f64, u64)>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

/// Reads a page. Lines that are not ours to understand are skipped.
pub(super) fn parse(page: &str) -> Samples {
    let mut samples = Samples::default();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    for line in page.lines() {
        if let Some(declaration) = line.strip_prefix("# TYPE ") {
            if let Some((name, kind)) = declaration.split_once(' ') {
                kinds.insert(name, kind);
            }
        } else if !line.starts_with('#')
            && let Some((name, labels, value)) = sample(line)
        {
            samples.add(&kinds, name, labels, value);
        }
    }
    samples
}

// === impl Samples ===

impl Samples {
    fn add(&mut self, kinds: &BTreeMap<&str, &str>, name: &str, mut labels: Labels, value: f64) {
        if let Some(kind) = kinds.get(name) {
            let kind = match *kind {
                "counter" => NumberKind::Counter,
                _ => NumberKind::Gauge,
            };
            self.numbers.push(Number { name: name.to_owned(), labels, value, kind });
            return;
        }
        let Some((base, part)) = name.rsplit_once('_') else { return };
        if kinds.get(base) != Some(&"histogram") {
            return;
        }
        let bound = labels.iter().position(|(label, _)| label == "le");
        let bound = bound.map(|index| labels.remove(index).1);
        let histogram = self.histograms.entry((base.to_owned(), labels)).or_default();
        match (part, bound) {
            ("sum", _) => histogram.sum = value,
            ("count", _) => histogram.count = value as u64,
            ("bucket", Some(bound)) => {
                if let Ok(bound) = bound.parse() {
                    histogram.cumulative.push((bound, value as u64));
                }
            }
            _ => {}
        }
    }
}

fn sample(line: &str) -> Option<(&str, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return Some((series, Labels::new(), value));
    };
    Some((name, parse_labels(labels.strip_suffix('}')?)?, value))
}

fn parse_labels(text: &str) -> Option<Labels> {
    let mut labels = Labels::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (end, '"') => break end,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after[end + 1..].trim_start_matches(',');
    }
    Some(labels)
}
