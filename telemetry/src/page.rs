//! Prometheus' text format, version 0.0.4: the body of `/metrics`.

use std::fmt::Write as _;

use metrics::Label;

use crate::family::{Buckets, Family, Value};

/// The content type of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Writes all families, in their order.
#[must_use]
pub fn render(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        write_family(&mut page, family);
    }
    page
}

// Writing to a string cannot fail, so the results below are ignored.

fn write_family(page: &mut String, family: &Family) {
    let Family { name, kind, help, series } = family;
    if !help.is_empty() {
        let _ = write!(page, "# HELP {name} ");
        push_escaped(page, help, &['\\', '\n']);
        page.push('\n');
    }
    let _ = writeln!(page, "# TYPE {name} {}", kind.name());
    for series in series {
        let mut labels = String::new();
        push_labels(&mut labels, &series.labels);
        match &series.value {
            Value::Number(value) => push_sample(page, name, "", &labels, None, *value),
            Value::Buckets(buckets) => write_buckets(page, name, &labels, buckets),
        }
    }
    page.push('\n');
}

fn write_buckets(page: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let bounds = buckets.bounds.iter().map(|bound| Some(*bound)).chain([None]);
    for (bound, count) in bounds.zip(&buckets.cumulative) {
        let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
        push_sample(page, name, "_bucket", labels, Some(&bound), *count as f64);
    }
    push_sample(page, name, "_sum", labels, None, buckets.sum);
    push_sample(page, name, "_count", labels, None, buckets.count as f64);
}

fn push_sample(
    page: &mut String,
    name: &str,
    suffix: &str,
    labels: &str,
    bound: Option<&str>,
    value: f64,
) {
    page.push_str(name);
    page.push_str(suffix);
    if !labels.is_empty() || bound.is_some() {
        page.push('{');
        page.push_str(labels);
        if let Some(bound) = bound {
            let separator = if labels.is_empty() { "" } else { "," };
            let _ = write!(page, "{separator}le=\"{bound}\"");
        }
        page.push('}');
    }
    let _ = writeln!(page, " {value}");
}

fn push_labels(text: &mut String, labels: &[Label]) {
    for (number, label) in labels.iter().enumerate() {
        let separator = if number == 0 { "" } else { "," };
        let _ = write!(text, "{separator}{}=\"", label.key());
        push_escaped(text, label.value(), &['\\', '\n', '"']);
        text.push('"');
    }
}

/// Every special character gets a backslash, so that two different texts stay different: two
/// series of the same labels make Prometheus refuse the whole page.
fn push_escaped(text: &mut String, value: &str, special: &[char]) {
    for character in value.chars() {
        if special.contains(&character) {
            text.push('\\');
        }
        text.push(if character == '\n' { 'n' } else { character });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::registry::Registry;

    fn page_of(registry: &Registry) -> String {
        let mut families = registry.gather();
        families.retain(|family| family.name.starts_with("test_"));
        render(&families)
    }

    #[test]
    fn a_page_is_prometheus_text() {
        let registry = Registry::new();
        let hits = Metric::counter("test_hits_total", "Hits\n\\.").labelled(&["kind"]);
        let time = Metric::histogram("test_time_seconds", "Time.").scoped(None);
        hits.scoped(None).register_counter(&registry, &["good"]).increment(3);
        time.register_histogram(&registry, Vec::new()).record(0.3);
        let page = page_of(&registry);
        let expected = "# HELP test_hits_total Hits\\n\\\\.\n# TYPE test_hits_total counter\n\
                        test_hits_total{kind=\"good\"} 3\n\n\
                        # HELP test_time_seconds Time.\n# TYPE test_time_seconds histogram\n\
                        test_time_seconds_bucket{le=\"0.005\"} 0\n";
        assert!(page.starts_with(expected), "{page}");
        let rest = "test_time_seconds_bucket{le=\"10\"} 1\n\
                    test_time_seconds_bucket{le=\"+Inf\"} 1\n\
                    test_time_seconds_sum 0.3\ntest_time_seconds_count 1\n\n";
        assert!(page.ends_with(rest), "{page}");
    }

    /// A widely used exporter writes the first two of these alike, and drops the backslash of the
    /// third: a client that chooses a label's value could then break every scrape.
    #[test]
    fn different_values_stay_different() {
        let registry = Registry::new();
        let gauge = Metric::gauge("test_g", "").labelled(&["v"]).scoped(None);
        let values = ["\\", "\\\\", "\\\"", "\"", "\n", "\\n"];
        for value in values {
            let label = Label::new("v", value.to_owned());
            gauge.register_gauge_labelled(&registry, vec![label]).set(1.0);
        }
        let page = page_of(&registry);
        let lines: std::collections::BTreeSet<&str> =
            page.lines().filter(|line| line.starts_with("test_g{")).collect();
        assert_eq!(lines.len(), values.len(), "{page}");
        assert!(lines.contains("test_g{v=\"\\\\\\\"\"} 1"), "{page}");
    }
}
