//! Starts by turns: as text, and what is wrong with them.

use std::fmt;

use tidegate_autoscaler::StartPace;
use tidegate_autoscaler::start_turns::TURN_MS;
use tidegate_words::excerpt;

/// Starts by turns, as `tidegate run` paces them on one machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StartsInTurns {
    /// How many start at a time, and for how long each has a turn.
    pub pace: StartPace,
    /// Turns that end early in a second because the machine has time left, while others wait for
    /// theirs.
    pub slack_per_second: f64,
}

impl StartsInTurns {
    /// Reads `all`, which is no turns; `N`, so many at a time; or `N,RATE`, with so many turns that
    /// end early in a second.
    ///
    /// # Errors
    ///
    /// When it is neither, in words for the user.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        if text == "all" {
            return Ok(None);
        }
        let expected = || {
            format!(
                "expected a number from 1, such a number and a rate, or all, found '{}'",
                excerpt(text)
            )
        };
        let (at_once, slack) = text.split_once(',').unwrap_or((text, "0"));
        let at_once = at_once.trim().parse().map_err(|_| expected())?;
        let slack_per_second = slack.trim().parse().map_err(|_| expected())?;
        let turns = Self { pace: StartPace { at_once, turn_ms: TURN_MS }, slack_per_second };
        turns.problem().map_or(Ok(Some(turns)), Err)
    }

    /// What is wrong with it, in words for the user.
    pub(crate) fn problem(&self) -> Option<String> {
        let slack = self.slack_per_second;
        if !(slack.is_finite() && slack >= 0.0) {
            return Some(format!("{slack} turns a second end early, expected 0 or more"));
        }
        (self.pace.at_once == 0).then(|| "0 start at a time, expected at least 1".to_owned())
    }
}

impl fmt::Display for StartsInTurns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slack_per_second {
            0.0 => write!(f, "{}", self.pace.at_once),
            slack => write!(f, "{},{slack}", self.pace.at_once),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["1", "2", "2,7.5", "64,0.125"] {
            let turns = StartsInTurns::parse(text).expect("turns").expect("not all");
            assert_eq!((turns.to_string().as_str(), turns.pace.turn_ms), (text, TURN_MS));
        }
        assert_eq!(StartsInTurns::parse("all"), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in ["", "0", "0,1", "-1", "2,", "2,-1", "2,inf", "2,NaN", "two", "2,3,4", "none"] {
            assert!(StartsInTurns::parse(text).is_err(), "{text}");
        }
    }
}
