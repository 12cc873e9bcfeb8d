//! What must be kept, as people write it: `p99<250ms`, `cold<1%`, `lost<0.1%`.

use std::fmt;

use serde::{Deserialize, Serialize};

use tidegate_words::{did_you_mean, excerpt, list, parse_seconds};

use crate::figure::{Figure, Unit};

/// A figure and the bound that it must not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Which figure.
    pub figure: Figure,
    /// Its bound, in the figure's unit.
    pub at_most: f64,
}

/// Why a text is not an objective.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}`: {problem}{hint}; write FIGURE<BOUND, such as p99<250ms, cold<1%, lost<0.1% or \
     instances<20, with one of the figures {names}"
)]
pub struct ObjectiveError {
    text: String,
    problem: &'static str,
    hint: String,
    names: String,
}

impl Objective {
    /// Reads `FIGURE<BOUND` or `FIGURE<=BOUND`.
    ///
    /// # Errors
    ///
    /// When there is no such figure, or the bound does not have its unit.
    pub fn parse(text: &str) -> Result<Self, ObjectiveError> {
        let error = |problem| {
            let names = list(Figure::bounded().map(Figure::name));
            ObjectiveError { text: excerpt(text), problem, hint: String::new(), names }
        };
        let (name, bound) = text.split_once('<').ok_or_else(|| error("it has no `<`"))?;
        let bound = bound.strip_prefix('=').unwrap_or(bound).trim();
        let figure = Figure::find(name.trim()).ok_or_else(|| {
            let hint = did_you_mean(name.trim(), Figure::bounded().map(Figure::name));
            ObjectiveError { hint, ..error("there is no such figure") }
        })?;
        let plain =
            |text: &str| text.trim().parse::<f64>().ok().filter(|n| *n >= 0.0 && n.is_finite());
        let at_most = match figure.unit() {
            Unit::Share => match bound.strip_suffix('%') {
                Some(percent) => plain(percent).map(|percent| percent / 100.0),
                None => plain(bound).filter(|share| *share <= 1.0),
            }
            .ok_or_else(|| error("the bound is not a share, such as 1% or 0.01"))?,
            Unit::Count | Unit::Hours | Unit::Money => {
                plain(bound).ok_or_else(|| error("the bound is not a number"))?
            }
            Unit::Milliseconds => {
                // A bare number would mean seconds elsewhere; here it is too easily taken for
                // milliseconds, so a unit must be written.
                if bound.ends_with(|c: char| c.is_ascii_digit()) {
                    return Err(error("the bound has no unit"));
                }
                parse_seconds(bound).map_err(|_| error("the bound is no time"))? * 1e3
            }
        };
        Ok(Objective { figure, at_most })
    }

    /// Whether `figure` is within the bound.
    pub fn is_kept_by(&self, figure: f64) -> bool {
        figure <= self.at_most
    }

    /// By what share of the bound `figure` exceeds it; 0 when it does not.
    pub(super) fn missed_by(&self, figure: f64) -> f64 {
        ((figure - self.at_most) / self.at_most.max(1e-6)).max(0.0)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.figure.name();
        // Padded, because it heads a column.
        f.pad(&match self.figure.unit() {
            Unit::Share => format!("{name} <= {} %", self.at_most * 100.0),
            Unit::Count | Unit::Hours | Unit::Money => format!("{name} <= {}", self.at_most),
            Unit::Milliseconds if self.at_most >= 1_000.0 => {
                format!("{name} <= {} s", self.at_most / 1_000.0)
            }
            Unit::Milliseconds => format!("{name} <= {} ms", self.at_most),
        })
    }
}

/// An objective in JSON, as people write it.
pub(super) mod text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Objective;

    pub(in super::super) fn serialize<S: Serializer>(
        objective: &Objective,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(objective)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Objective, D::Error> {
        let text = String::deserialize(deserializer)?;
        Objective::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_as_it_is_written() {
        for text in ["p99<250ms", "mean<1.5s", "cold<0.5%", "lost<0.001", "instances<20"] {
            let objective = Objective::parse(text).expect(text);
            let again = Objective::parse(&objective.to_string()).expect(text);
            assert_eq!(again, objective);
        }
    }

    #[test]
    fn objectives_are_read_with_their_units() {
        let read = |text: &str| Objective::parse(text).expect(text);
        assert_eq!(read("p99<250ms"), Objective { figure: Figure::P99, at_most: 250.0 });
        assert_eq!(read("p99.9 <= 1.5s"), Objective { figure: Figure::P999, at_most: 1500.0 });
        assert_eq!(read("cold<1%"), Objective { figure: Figure::Cold, at_most: 0.01 });
        assert_eq!(read("lost<0.001"), Objective { figure: Figure::Lost, at_most: 0.001 });
        assert_eq!(read("instances<20"), Objective { figure: Figure::Instances, at_most: 20.0 });
    }

    #[test]
    fn mistakes_say_what_would_do() {
        for text in ["p99", "p98<1s", "p99<250", "cold<2", "lost<-1%", "instances<few"] {
            let error = Objective::parse(text).expect_err(text).to_string();
            assert!(error.contains("FIGURE<BOUND"), "{error}");
        }
    }
}
