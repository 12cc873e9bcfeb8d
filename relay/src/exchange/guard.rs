//! The guard that an exchange was admitted with, and how it is given back.

use std::time::Duration;

/// What a request was admitted with.
pub trait Guard: Send + 'static {
    /// The exchange is over, because its client hung up or its time was up, and the upstream may
    /// still be at work. With a time, connection and guard are kept until the upstream has sent
    /// its whole response or closed, for at most so long; with nothing, which is the default, both
    /// are dropped at once. Called at most once.
    fn abandoned(&mut self) -> Option<Duration> {
        None
    }
}

impl Guard for () {}

/// Something that is given back once.
pub(crate) trait Release {
    fn release(&mut self);

    /// The guard, and how long it wants to be kept, if it does.
    fn hold(&mut self) -> Option<(Duration, Box<dyn Send>)>;
}

impl<G: Guard> Release for Option<G> {
    fn release(&mut self) {
        drop(self.take());
    }

    fn hold(&mut self) -> Option<(Duration, Box<dyn Send>)> {
        let longest = self.as_mut()?.abandoned()?;
        Some((longest, Box::new(self.take()?)))
    }
}
