//! A metrics page as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// A page by its families.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) families: BTreeMap<String, Family>,
    samples: Vec<(String, String, f64)>,
}

/// What a page says about one metric.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Names of labels, without those of the scope and the bounds of buckets.
    pub(crate) labels: BTreeSet<String>,
    /// Values of the label that names the scope.
    pub(crate) scopes: BTreeSet<String>,
}

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                page.families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                page.families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else if !line.is_empty() {
                page.sample(line);
            }
        }
        page
    }

    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let suffixes = ["", "_bucket", "_sum", "_count"].into_iter();
        let mut family = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
        let family = family.rfind(|name| self.families.contains_key(*name));
        let family = self.families.get_mut(family.expect("its type was said")).unwrap();
        // No value in these tests has a comma.
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap();
            match key {
                "otel_scope_name" => drop(family.scopes.insert(value.to_owned())),
                "otel_scope_schema_url" | "otel_scope_version" | "le" => {}
                key => drop(family.labels.insert(key.to_owned())),
            }
        }
        self.samples.push((name.to_owned(), labels.to_owned(), value.parse().unwrap()));
    }

    /// The first series of this name with this label.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, label: &str) -> f64 {
        let mut found =
            self.samples.iter().filter(|(n, labels, _)| n == name && labels.contains(label));
        found.next().unwrap_or_else(|| panic!("no {name} with {label}")).2
    }
}
