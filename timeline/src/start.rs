//! How an instance came up, as its controller saw it.

use crate::moment::Moment;

/// When the moments of an instance's start were, by any clock; `None` for those that nobody saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Start<T> {
    /// It was decided that it is to be there.
    pub decided: Option<T>,
    /// The order was given.
    pub actuated: Option<T>,
    /// Its process, or its pod's, began.
    pub started: Option<T>,
    /// Its app accepted a connection for the first time.
    pub listening: Option<T>,
    /// It was ready for the first time.
    pub ready: Option<T>,
}

/// Nothing is known of it.
impl<T> Default for Start<T> {
    fn default() -> Self {
        Self { decided: None, actuated: None, started: None, listening: None, ready: None }
    }
}

impl<T> Start<T> {
    /// The same moments by another clock.
    #[must_use]
    pub fn map<U>(self, mut by: impl FnMut(T) -> U) -> Start<U> {
        Start {
            decided: self.decided.map(&mut by),
            actuated: self.actuated.map(&mut by),
            started: self.started.map(&mut by),
            listening: self.listening.map(&mut by),
            ready: self.ready.map(by),
        }
    }

    /// The moments in their order.
    pub fn moments(self) -> [(Moment, Option<T>); 5] {
        [
            (Moment::Decided, self.decided),
            (Moment::Actuated, self.actuated),
            (Moment::Started, self.started),
            (Moment::Listening, self.listening),
            (Moment::Ready, self.ready),
        ]
    }
}
