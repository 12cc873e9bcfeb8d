//! Which series leave: the first rule that matches a series decides.
//!
//! ```toml
//! [[rule]]
//! keep = "tidegate_activator_*"       # a pattern of names: * stands for any letters
//! labels = { cause = "!no_*" }        # patterns of labels, all of which have to match
//! sum_without = ["phase"]             # added up over these labels
//! period = "5m"                       # no more often than this
//!
//! [[rule]]
//! drop = "process_*"
//! ```

use std::time::Duration;

use tidegate_routes::FileError;
use tidegate_routes::section::{Section, tables};
use tidegate_telemetry::{Label, Series};

use crate::pattern::Pattern;

/// Longest file with rules: a thousand of them.
pub const RULES_BYTES_MAX: usize = 64 << 10;

/// Most rules: each series is compared with all of them at each reading.
pub const RULES_MAX: usize = 256;

/// Longest pattern and longest name of a label.
const PATTERN_BYTES_MAX: usize = 256;

/// Longest period: a receiver takes no sample that is older than a day anyway.
const PERIOD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The rules in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of the series.
    pub verdict: Verdict,
    /// The names that it is about.
    pub name: Pattern,
    /// What their labels have to match; a label that is not there is empty.
    pub labels: Vec<(String, Pattern)>,
    /// Labels over which the values are added up.
    pub sum_without: Vec<String>,
    /// Time between two values of a series at least; zero takes each reading.
    pub period: Duration,
    /// The line of the file that it begins at.
    pub line: usize,
}

/// What becomes of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It leaves.
    Keep,
    /// It does not.
    Drop,
}

impl Default for Rules {
    /// Everything leaves.
    fn default() -> Self {
        let all = Rule {
            verdict: Verdict::Keep,
            name: Pattern::new("*"),
            labels: Vec::new(),
            sum_without: Vec::new(),
            period: Duration::ZERO,
            line: 0,
        };
        Self { rules: vec![all] }
    }
}

impl Rules {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be followed: where it stands, and what would be accepted.
    pub fn parse(text: &str) -> Result<Self, FileError> {
        if text.len() > RULES_BYTES_MAX {
            let (bytes, most) = (text.len(), RULES_BYTES_MAX);
            let what = format!("the file has {bytes} bytes, expected {most} at most");
            return Err(FileError { line: 1, column: 1, what });
        }
        let tables = tables(text)?;
        let top = Section::top(text, &tables);
        top.only(&["rule"])?;
        let listed = top.list("rule")?;
        if listed.len() > RULES_MAX {
            return Err(top.wrong(format!("there are more than {RULES_MAX} rules")));
        }
        let rules: Vec<Rule> = (1..)
            .zip(listed)
            .map(|(number, value)| rule(text, &top.as_section(format!("rule {number}"), value)?))
            .collect::<Result<_, _>>()?;
        if !rules.iter().any(|rule| rule.verdict == Verdict::Keep) {
            return Err(top.wrong(
                "no rule keeps anything, and what no rule matches does not leave: expected at \
                 least one, such as [[rule]] with keep = \"tidegate_*\"",
            ));
        }
        Ok(Self { rules })
    }

    /// The rules in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Rule] {
        &self.rules
    }

    /// The number of the first rule that matches a series of the metric `name`; `None` when none
    /// does, and then it does not leave.
    #[must_use]
    pub fn first_match(&self, name: &str, series: &Series) -> Option<usize> {
        self.rules.iter().position(|rule| rule.matches(name, &series.labels))
    }
}

impl Rule {
    fn matches(&self, name: &str, labels: &[Label]) -> bool {
        let value = |key: &str| labels.iter().find(|label| label.key() == key).map(Label::value);
        self.name.matches(name)
            && self
                .labels
                .iter()
                .all(|(key, pattern)| pattern.matches(value(key).unwrap_or_default()))
    }
}

fn rule(text: &str, section: &Section<'_>) -> Result<Rule, FileError> {
    section.only(&["keep", "drop", "labels", "sum_without", "period"])?;
    let (verdict, name) = match (section.text("keep")?, section.text("drop")?) {
        (Some(name), None) => (Verdict::Keep, name),
        (None, Some(name)) => (Verdict::Drop, name),
        (None, None) => {
            return Err(section.wrong("expected `keep` or `drop`, with a pattern of names"));
        }
        (Some(_), Some(drop)) => {
            return Err(section.wrong_at(&drop.span, "expected either `keep` or `drop`"));
        }
    };
    let mut labels = Vec::new();
    if let Some(matchers) = section.section("labels")? {
        for (key, value) in matchers.entries() {
            let pattern = section.as_text("labels", value)?;
            let pattern = checked(section, &pattern.span, pattern.value)?;
            labels.push((key.value.to_owned(), Pattern::new(pattern)));
        }
    }
    let mut sum_without = Vec::new();
    for value in section.list("sum_without")? {
        let key = section.as_text("sum_without", value)?;
        sum_without.push(checked(section, &key.span, key.value)?.to_owned());
    }
    let period = section.time_ms("period")?;
    if verdict == Verdict::Drop {
        for (key, place) in
            ["sum_without", "period"].map(|key| (key, section.place(key))).into_iter()
        {
            if let Some(place) = place {
                return Err(section.wrong_at(&place, format!("`{key}` goes with `keep` only")));
            }
        }
    }
    let ms = period.as_ref().map_or(0, |period| period.value);
    let length = Duration::from_millis(ms);
    if let Some(period) = period.filter(|_| length > PERIOD_MAX || length.is_zero()) {
        return Err(section.wrong_at(&period.span, "`period`: expected more than 0, 24h at most"));
    }
    let name = Pattern::new(checked(section, &name.span, name.value)?);
    let line = FileError::at(text, section.span().start, "").line;
    Ok(Rule { verdict, name, labels, sum_without, period: length, line })
}

/// A pattern or a name that is neither empty nor too long.
fn checked<'a>(
    section: &Section<'_>,
    span: &std::ops::Range<usize>,
    text: &'a str,
) -> Result<&'a str, FileError> {
    match text.len() {
        1..=PATTERN_BYTES_MAX => Ok(text),
        _ => Err(section.wrong_at(span, format!("expected 1 to {PATTERN_BYTES_MAX} letters"))),
    }
}

#[cfg(test)]
mod tests;
