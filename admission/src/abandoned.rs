//! How long a slot is held whose client has gone while the app still works on the request.

use core::time::Duration;

use crate::limit::Limit;

/// The rule for requests whose client hung up, or whose time limit expired, inside the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// The slot is given back at once, as Knative does: the limit counts clients that wait.
    Release,
    /// The slot stays taken until the app is done: the limit counts the requests inside the app.
    Hold {
        /// The longest hold, so that an app that is never done does not stay full for ever.
        longest: Duration,
    },
}

/// How long a slot is held at most where requests have no time limit of their own: Knative's
/// default for one.
const HOLD_WITHOUT_LIMIT: Duration = Duration::from_secs(300);

/// The shortest hold, whatever the time limit: an app may work for longer than its clients may
/// wait. Draining gives requests in flight the same time.
const SHORTEST_HOLD: Duration = Duration::from_secs(60);

impl Abandoned {
    /// Holds for as long as a request may take, if that is limited, and never for less than a
    /// minute.
    pub fn hold(request_timeout: Option<Duration>) -> Self {
        let longest = request_timeout.unwrap_or(HOLD_WITHOUT_LIMIT).max(SHORTEST_HOLD);
        Self::Hold { longest }
    }

    /// How long to hold a slot under `limit`; `None` releases it at once. Without a limit there is
    /// no slot to hold, so the app's connection is closed at once.
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
    fn a_slot_is_held_for_as_long_as_a_request_may_take() {
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
