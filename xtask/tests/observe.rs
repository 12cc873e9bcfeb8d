//! Dashboards and alert rules speak of metrics that are served, with labels that they have.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};

use xtask::sources::{files, workspace_root};

/// Labels that a scraper adds, and those of histograms.
const OF_OTHERS: [&str; 5] = ["namespace", "pod", "job", "instance", "le"];

/// Every metric of the book, with its labels; of a histogram also the series that it is served as.
fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(workspace_root().join("docs/metrics.md")).unwrap();
    let (_, table) = page.split_once("<!-- metrics -->").unwrap();
    let (table, _) = table.split_once("<!-- end of metrics -->").unwrap();
    let mut found = BTreeMap::new();
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let name = cells[0].trim_matches('`').to_owned();
        let labels: BTreeSet<String> =
            cells[2].split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
        if cells[1] == "histogram" {
            for part in ["bucket", "count", "sum"] {
                found.insert(format!("{name}_{part}"), labels.clone());
            }
        }
        found.insert(name, labels);
    }
    found
}

/// Words of an expression that could be metrics.
fn words(text: &str) -> BTreeSet<String> {
    let inside = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let ours = ["tidegate_", "process_", "http_server_", "http_client_", "kn_"];
    text.split(|letter| !inside(letter))
        .filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

/// The labels that expressions group by.
fn groupings(text: &str) -> BTreeSet<String> {
    let lists = text.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    lists.flat_map(|(list, _)| list.split(',').map(|label| label.trim().to_owned())).collect()
}

#[test]
fn every_metric_is_served_and_has_the_labels() {
    let metrics = metrics();
    assert!(metrics.len() > 60, "{} metrics were read", metrics.len());
    let labels: BTreeSet<&String> = metrics.values().flatten().collect();
    let sources = files("kubernetes/observe", &["json", "yaml"]);
    assert_eq!(sources.len(), 3);
    for source in sources {
        let named = words(&source.text);
        let path = source.path.display();
        assert!(named.len() > 10, "{path} names {named:?}");
        let unknown: Vec<_> = named
            .iter()
            .filter(|name| !metrics.contains_key(*name) && !labels.contains(name))
            .collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}, which docs/metrics.md does not");
        for label in groupings(&source.text) {
            let is_known = labels.contains(&label) || OF_OTHERS.contains(&label.as_str());
            assert!(is_known, "{path} groups by '{label}', which no metric has");
        }
    }
}

/// A gauge of one moment is not to be mistaken for a counter, nor the other way round.
#[test]
fn rates_are_of_counters_alone() {
    for source in files("kubernetes/observe", &["json", "yaml"]) {
        for rated in source.text.split("rate(").skip(1) {
            let name: String = rated
                .trim_start()
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
                .collect();
            let counts = ["_total", "_bucket", "_count", "_sum"];
            let is_counter = counts.iter().any(|end| name.ends_with(end));
            assert!(is_counter, "{}: rate of '{name}'", source.path.display());
        }
    }
}
