//! What becomes of a slot when nobody waits for its request any more, while the app still works.

use core::time::Duration;

use crate::limit::Limit;

/// The rule for requests whose client hung up, or whose time was up, inside the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// The slot is given back at once, as Knative does: the limit counts clients that wait.
    Release,
    /// The slot stays taken until the app is done: the limit counts what is inside the app.
    Hold {
        /// How long at most, so that an app that is never done does not stay full for ever.
        longest: Duration,
    },
}

/// How long a slot is held at most where requests have no time limit of their own: Knative's
/// default for one.
const HOLD_WITHOUT_LIMIT: Duration = Duration::from_secs(300);

/// How long it may be held at least: an app may well go on for longer than its clients are allowed
/// to wait. Draining gives work in flight as much.
const SHORTEST_HOLD: Duration = Duration::from_secs(60);

impl Abandoned {
    /// Holds for as long again as a request may take, if that is limited, and never for less than
    /// a minute.
    pub fn hold(request_timeout: Option<Duration>) -> Self {
        let longest = request_timeout.unwrap_or(HOLD_WITHOUT_LIMIT).max(SHORTEST_HOLD);
        Self::Hold { longest }
    }

    /// How long to hold a slot under `limit`; `None` lets it go. Where nothing is limited there is
    /// nothing to hold, and the app may as well hear at once that nobody waits.
    pub fn longest_under(self, limit: Limit) -> Option<Duration> {
        match self {
            Self::Hold { longest } if limit != Limit::UNLIMITED => Some(longest),
            Self::Hold { .. } | Self::Release => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_held_as_long_again_as_a_request_may_take() {
        let longest = |timeout| Abandoned::hold(timeout).longest_under(Limit::from_wire(1));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(longest(seconds(600)), seconds(600));
        assert_eq!(longest(seconds(1)), seconds(60));
        assert_eq!(longest(None), seconds(300));
    }

    #[test]
    fn nothing_is_held_where_nothing_is_limited() {
        assert_eq!(Abandoned::hold(None).longest_under(Limit::UNLIMITED), None);
        assert_eq!(Abandoned::Release.longest_under(Limit::from_wire(1)), None);
    }
}
