//! What people type: `population:100000,mean=50/d`.

use std::path::PathBuf;

use tidegate_words::{did_you_mean, excerpt, list};

use super::law::{Choice, FUNCTIONS_MAX};
use crate::error::TrafficError;
use crate::specification::rate_of;

/// How it is used, for help and for errors.
const USAGE: &str =
    "population:FUNCTIONS[,mean=RATE][,most=RATE][,apps=NUMBER][,together=SHARE][,from=TRACE]";
/// What may be said behind the number of functions.
const KEYS: [&str; 5] = ["mean", "most", "apps", "together", "from"];
/// Most functions of an app on average: an app has no more than a few thousand.
const PER_APP_MAX: f64 = 1_000.0;

/// A population as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) functions: u32,
    pub(crate) choice: Choice,
    /// The trace to learn from, instead of the built-in numbers.
    pub(crate) from: Option<PathBuf>,
}

impl Asked {
    /// Reads what stands behind `population:`; `spec` is all that was typed.
    pub(crate) fn parse(spec: &str, text: &str) -> Result<Asked, TrafficError> {
        let error = |problem: String| {
            TrafficError::specification(spec, format!("expected {USAGE}: {problem}"))
        };
        let (count, rest) = text.split_once(',').unwrap_or((text, ""));
        let functions = count.trim().parse::<u32>().ok();
        let functions = functions.filter(|count| (1..=FUNCTIONS_MAX).contains(count));
        let functions = functions.ok_or_else(|| {
            error(format!("expected 1 to {FUNCTIONS_MAX} functions, found '{}'", excerpt(count)))
        })?;
        let mut asked = Asked { functions, choice: Choice::default(), from: None };
        // A path may hold commas, so it stands last.
        let (rest, from) = match rest.strip_prefix("from=") {
            Some(path) => ("", Some(path)),
            None => rest.split_once(",from=").map_or((rest, None), |(one, it)| (one, Some(it))),
        };
        asked.from = from.map(PathBuf::from);
        for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            asked.choice.set(key, value).map_err(&error)?;
        }
        Ok(asked)
    }
}

impl Choice {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let found = excerpt(value);
        let rate = || {
            let rate = rate_of(value).filter(|rate| *rate > 0.0);
            rate.ok_or_else(|| format!("expected {key}=RATE, such as 50/d, found '{found}'"))
        };
        let number = |range: std::ops::RangeInclusive<f64>| {
            let number = value.parse::<f64>().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| {
                let (low, high) = (range.start(), range.end());
                format!("expected {key}= from {low} to {high}, found '{found}'")
            })
        };
        match key {
            "mean" => self.mean_rate = Some(rate()?),
            "most" => self.most_rate = Some(rate()?),
            "apps" => self.functions_per_app = Some(number(1.0..=PER_APP_MAX)?),
            "together" => self.together = Some(number(0.0..=1.0)?),
            _ => {
                let (known, found) = (list(KEYS), excerpt(key));
                let near = did_you_mean(key, KEYS);
                return Err(format!("expected {known} and =, found '{found}'{near}"));
            }
        }
        Ok(())
    }
}
