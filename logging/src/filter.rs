//! What is logged: levels by target.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

/// Directives of one filter.
const DIRECTIVES_MAX: usize = 64;

/// Levels by target; the longest target that a line's begins with decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter(Vec<(String, LevelFilter)>);

impl Filter {
    /// Our own lines from `level` on, and those of libraries when something is wrong only.
    #[must_use]
    pub fn from_level(level: Level) -> Self {
        let libraries = LevelFilter::from_level(level).min(LevelFilter::WARN);
        Self(vec![
            ("tidegate".to_owned(), LevelFilter::from_level(level)),
            (String::new(), libraries),
        ])
    }

    /// Whether an event is logged.
    #[must_use]
    pub fn admits(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let level = self.0.iter().find(|(prefix, _)| target.starts_with(prefix));
        level.is_some_and(|(_, level)| *metadata.level() <= *level)
    }

    /// The level beyond which nothing is logged, whatever its target is.
    #[must_use]
    pub fn highest(&self) -> LevelFilter {
        self.0.iter().map(|(_, level)| *level).max().unwrap_or(LevelFilter::OFF)
    }
}

/// Why a text is no [`Filter`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A directive names no level.
    #[error("{0:?} is no level, expected off, error, warn, info, debug or trace, or TARGET=LEVEL")]
    Level(String),
    /// There are too many directives.
    #[error("expected {DIRECTIVES_MAX} directives or fewer")]
    TooLong,
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let directives = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let mut levels = Vec::new();
        for directive in directives {
            let (target, level) = directive.split_once('=').unwrap_or(("", directive));
            let level = level_named(level.trim())
                .ok_or_else(|| FilterError::Level(tidegate_words::excerpt(level)))?;
            levels.push((target.trim().to_owned(), level));
        }
        if levels.len() > DIRECTIVES_MAX {
            return Err(FilterError::TooLong);
        }
        // Longest first, and of equals the last that was typed.
        levels.reverse();
        levels.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        Ok(Self(levels))
    }
}

/// `tracing` takes numbers and the empty text for levels, too; in a filter these are mistakes.
fn level_named(name: &str) -> Option<LevelFilter> {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphabetic());
    name.parse().ok().filter(|_| is_word && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_levels_by_target() {
        let filter: Filter = "warn, tidegate_activator=debug ,tidegate=info".parse().unwrap();
        let targets: Vec<_> = filter.0.iter().map(|(target, _)| target.as_str()).collect();
        assert_eq!(targets, ["tidegate_activator", "tidegate", ""]);
        assert_eq!(filter.highest(), LevelFilter::DEBUG);
        for good in ["", "off", "INFO", "hyper=trace", "warn,tidegate=info"] {
            assert!(good.parse::<Filter>().is_ok(), "{good}");
        }
        for bad in ["wran", "tidegate=", "tidegate", "=", "warn;info", "7", "a=b=c"] {
            let error = bad.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains("expected off"), "{error}");
        }
        assert_eq!("warn,".repeat(65).parse::<Filter>(), Err(FilterError::TooLong));
    }

    #[test]
    fn knatives_levels_are_filters() {
        for (level, text) in [
            (Level::DEBUG, "warn,tidegate=debug"),
            (Level::INFO, "warn,tidegate=info"),
            (Level::ERROR, "error,tidegate=error"),
        ] {
            assert_eq!(Filter::from_level(level), text.parse().unwrap());
        }
    }
}
