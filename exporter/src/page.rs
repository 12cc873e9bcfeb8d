//! A page of metrics, read back: what a process serves, for a preview of what would leave it.

use tidegate_telemetry::{Buckets, Family, Kind, Label, Series, Value, bounds_of};
use tidegate_words::excerpt;

/// Longest page: that of a registry with as many series as it may have.
pub const PAGE_BYTES_MAX: usize = 32 << 20;

/// Why a text is no page of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PageError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads a page in Prometheus' text format, as `/metrics` of ours is.
///
/// # Errors
///
/// The first line that is none of such a page.
pub fn read(text: &str) -> Result<Vec<Family>, PageError> {
    let mut families: Vec<Family> = Vec::new();
    let mut help = "";
    for (line, content) in (1..).zip(text.lines()) {
        let wrong = |what: String| PageError { line, what };
        if let Some(rest) = content.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(rest) = content.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            let kinds = [Kind::Counter, Kind::Gauge, Kind::Histogram];
            let kind = kinds.into_iter().find(|known| known.name() == kind);
            let kind = kind.ok_or_else(|| wrong("expected counter, gauge or histogram".into()))?;
            let help = std::mem::take(&mut help).to_owned().into();
            families.push(Family { name: name.to_owned(), kind, help, series: Vec::new() });
        } else if !content.is_empty() && !content.starts_with('#') {
            let sample = || format!("expected a sample, found {}", excerpt(content));
            let (name, labels, value) = sample_of(content).ok_or_else(|| wrong(sample()))?;
            let family = families.last_mut().filter(|family| name.starts_with(&family.name));
            let family = family.ok_or_else(|| wrong("its # TYPE is not before it".into()))?;
            add(family, name, labels, value).ok_or_else(|| wrong(sample()))?;
        }
    }
    families.retain(|family| !family.series.is_empty());
    Ok(families)
}

fn add(family: &mut Family, name: &str, mut labels: Vec<Label>, value: f64) -> Option<()> {
    if family.kind != Kind::Histogram {
        family.series.push(Series { labels, value: Value::Number(value) });
        return Some(());
    }
    labels.retain(|label| label.key() != "le");
    if family.series.last().is_none_or(|series| series.labels != labels) {
        let bounds = bounds_of(&family.name);
        let buckets = Buckets { bounds, cumulative: Vec::new(), sum: 0.0, count: 0 };
        family.series.push(Series { labels, value: Value::Buckets(buckets) });
    }
    let Some(Value::Buckets(buckets)) = family.series.last_mut().map(|series| &mut series.value)
    else {
        return None;
    };
    match name.strip_prefix(&family.name)? {
        "_bucket" if buckets.cumulative.len() <= buckets.bounds.len() => {
            buckets.cumulative.push(value as u64);
        }
        "_sum" => buckets.sum = value,
        "_count" => buckets.count = value as u64,
        _ => return None,
    }
    Some(())
}

/// Name, labels and value of a line.
fn sample_of(line: &str) -> Option<(&str, Vec<Label>, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = Vec::new();
    let value = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            if let Some(value) = rest.strip_prefix('}') {
                break value;
            }
            let (key, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push(Label::new(key.to_owned(), value));
            rest = after.strip_prefix(',').unwrap_or(after);
        },
    };
    Some((name, labels, value.trim().parse().ok()?))
}

/// What is up to the closing quote, and what is behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tidegate_telemetry::{Metric, Registry, page};

    use super::*;

    #[test]
    fn a_page_is_read_as_it_was_gathered() {
        let registry = Registry::new();
        let time = Metric::histogram("time_seconds", "Time.").labelled(&["path"]);
        for path in ["a", "b \\ \"quoted\"\n, x=\"y\"} 5"] {
            let histogram = time.register_histogram(&registry, vec![Label::new("path", path)]);
            histogram.record(0.3);
            histogram.record(1e9);
        }
        Metric::gauge("load", "").scoped(None).register_gauge(&registry, &[]).set(-0.5);
        let gathered = registry.gather();
        assert_eq!(read(&page::render(&gathered)).expect("a page"), gathered);
    }

    #[test]
    fn what_is_no_page_is_said_by_its_line() {
        for (text, line) in [
            ("<html>", 1),
            ("# TYPE a counter\na 1\nb 1", 3),
            ("# TYPE a summary", 1),
            ("# TYPE a counter\na{b=\"c} 1", 2),
            ("# TYPE a counter\na one", 2),
            ("# TYPE a histogram\na_other 1", 2),
        ] {
            assert_eq!(read(text).expect_err(text).line, line, "{text}");
        }
    }
}
