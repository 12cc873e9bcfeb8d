//! The first moments of an activator whose controller has not said yet which revisions there are.
//!
//! A request for a revision that is not known is a 404, but not before the controller had time to
//! name it: an activator that starts again beside others, or while the controller does, would send
//! away what all others serve.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidegate_admission::DispatcherSettings;
use tidegate_reporter::{Directives, Inbox};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What the controller may take to name all revisions once it speaks: ten thousand lists, and a
/// busy machine.
const NAMING_TIME: Duration = Duration::from_secs(3);

/// The time between two looks at whether a revision was named. Nothing is heard before the
/// controller has connected, which takes longer.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Whether revisions may still be unknown that there are.
#[derive(Debug)]
pub(crate) struct Naming {
    /// When each shard of the controller was heard; none where nobody names revisions but who
    /// configured the activator.
    heard: Vec<OnceLock<Instant>>,
    /// Requests that may wait for it at a time.
    places: Semaphore,
}

impl Naming {
    /// By so many shards. As many requests may wait as in the queue of one revision.
    pub(crate) fn by(shards: usize, queue: &DispatcherSettings) -> Self {
        let heard = (0..shards).map(|_| OnceLock::new()).collect();
        let places = Semaphore::new((queue.max_waiting as usize).min(Semaphore::MAX_PERMITS));
        Self { heard, places }
    }

    /// Waits for the first words of every shard, in tasks of their own.
    pub(crate) fn hear_all(self: Arc<Self>, shards: Vec<Inbox>, tasks: &mut JoinSet<()>) {
        for (shard, inbox) in shards.into_iter().enumerate() {
            tasks.spawn(Arc::clone(&self).hear(shard, inbox));
        }
    }

    /// Waits for a shard's first words. That a stream to it is open says nothing yet: a
    /// controller that starts, or is busy, speaks later.
    async fn hear(self: Arc<Self>, shard: usize, mut inbox: Inbox) {
        let directive = inbox.directives.wait_for(|words| *words != Directives::default());
        let list = inbox.endpoints.wait_for(|lists| !lists.is_empty());
        let is_heard = tokio::select! {
            heard = directive => heard.is_ok(),
            heard = list => heard.is_ok(),
        };
        if let Some(heard) = self.heard.get(shard).filter(|_| is_heard) {
            // It is heard once.
            let _ = heard.set(Instant::now());
        }
    }

    /// A place among those that wait; `None` where there are too many.
    pub(crate) fn enter(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    /// Whether a revision that is not known may be named yet.
    pub(crate) fn is_under_way(&self) -> bool {
        let is_recent = |heard: &Instant| heard.elapsed() < NAMING_TIME;
        self.heard.iter().any(|shard| shard.get().is_none_or(is_recent))
    }
}
