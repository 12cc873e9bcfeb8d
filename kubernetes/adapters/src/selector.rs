//! Label selectors as the API writes them in a query: `a=b,c!=d,e in (f,g),h,!i`.

use std::collections::BTreeMap;

/// Longest selector that is read: labels are at most 317 bytes, and nobody selects by dozens.
const SELECTOR_BYTES_MAX: usize = 8 << 10;

/// Conditions that all must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    label: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    NotExists,
}

/// What is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no label selector: expected, for example, trafficscaler=web")]
pub struct SelectorError(String);

impl Selector {
    /// Reads a selector; an empty one matches everything.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let wrong = || SelectorError(text.chars().take(100).collect());
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(wrong());
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let parts = split(text).ok_or_else(wrong)?;
        let read: Option<Vec<Requirement>> = parts.iter().map(|part| requirement(part)).collect();
        read.map(Self).ok_or_else(wrong)
    }

    /// Whether labels are as they must be.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<&str, &str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(requirement.label.as_str());
            let is_one_of = |all: &[String]| value.is_some_and(|v| all.iter().any(|one| one == v));
            match &requirement.operator {
                Operator::In(all) => is_one_of(all),
                Operator::NotIn(all) => !is_one_of(all),
                Operator::Exists => value.is_some(),
                Operator::NotExists => value.is_none(),
            }
        })
    }
}

/// Splits at the commas that are outside of parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut is_within) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' if is_within => return None,
            '(' => is_within = true,
            ')' if !is_within => return None,
            ')' => is_within = false,
            ',' if !is_within => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!is_within).then_some(parts)
}

fn requirement(part: &str) -> Option<Requirement> {
    let part = part.trim();
    let with = |label: &str, operator| {
        let label = label.trim();
        is_label(label).then(|| Requirement { label: label.to_owned(), operator })
    };
    if let Some((head, values)) = part.split_once('(') {
        let values = values.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned());
        let values: Vec<String> = values.collect();
        let (label, operator) = head.trim().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => with(label, Operator::In(values)),
            "notin" => with(label, Operator::NotIn(values)),
            _ => None,
        };
    }
    if let Some((label, value)) = part.split_once("!=") {
        return with(label, Operator::NotIn(vec![text_of(value)?]));
    }
    if let Some((label, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return with(label, Operator::In(vec![text_of(value)?]));
    }
    match part.strip_prefix('!') {
        Some(label) => with(label, Operator::NotExists),
        None => with(part, Operator::Exists),
    }
}

/// A value of a label, which may be empty.
fn text_of(value: &str) -> Option<String> {
    let value = value.trim();
    (value.is_empty() || is_label(value)).then(|| value.to_owned())
}

/// Whether this could be a name or a value of a label.
fn is_label(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
    !text.is_empty() && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select() {
        let labels = BTreeMap::from([("trafficscaler", "web"), ("service", "front")]);
        for (text, expected) in [
            ("", true),
            ("trafficscaler=web", true),
            ("trafficscaler==web,service=front", true),
            ("trafficscaler=web,service=back", false),
            ("trafficscaler!=web", false),
            ("other!=web", true),
            ("trafficscaler in (a, web),service", true),
            ("trafficscaler notin (a,b)", true),
            ("trafficscaler notin (web)", false),
            ("!other", true),
            ("!service", false),
            ("other", false),
            ("other=", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["a in b", "a in (b", "a)", "a=b=c", "=b", ",", "a of (b)", "a b", "(a)"] {
            let error = Selector::parse(text).unwrap_err().to_string();
            assert!(error.contains("is no label selector"), "{text}: {error}");
        }
        assert!(Selector::parse(&"a,".repeat(10_000)).is_err());
    }
}
