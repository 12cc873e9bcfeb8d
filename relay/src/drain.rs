//! Shutdown: tells every connection that the listener is about to close.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

/// The phases of a shutdown, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// No shutdown.
    Serving = 0,
    /// New connections and requests are still served, but every response carries
    /// `Connection: close` and every HTTP/2 connection has had its GOAWAY.
    Draining = 1,
    /// Idle connections are closed; requests in flight run to their end.
    Closing = 2,
}

/// The shared state of a shutdown. Cloning gives another handle to the same state.
#[derive(Clone, Default)]
pub struct Drain {
    shared: Arc<DrainState>,
}

#[derive(Default)]
struct DrainState {
    /// The whole of which this is a part.
    whole: Option<Drain>,
    phase: AtomicU8,
    connections: AtomicUsize,
    empty: Notify,
    wakers: Mutex<Slab<Waker>>,
}

impl Drain {
    /// A state in [`Phase::Serving`].
    pub fn new() -> Drain {
        Drain::default()
    }

    /// A part of the connections, with a phase of its own: of this one and the whole's the later
    /// holds. Its connections are counted by both.
    pub fn part(&self) -> Drain {
        let shared = DrainState { whole: Some(self.clone()), ..DrainState::default() };
        Drain { shared: Arc::new(shared) }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        let own = match self.shared.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Closing,
        };
        self.shared.whole.as_ref().map_or(own, |whole| own.max(whole.phase()))
    }

    /// Moves to `phase` and wakes every connection. Going back from [`Phase::Draining`] to
    /// [`Phase::Serving`] is allowed: connections whose response already carried
    /// `Connection: close` still close.
    pub fn set_phase(&self, phase: Phase) {
        if self.shared.phase.swap(phase as u8, Ordering::AcqRel) == phase as u8 {
            return;
        }
        for (_, waker) in self.shared.wakers.lock().iter() {
            waker.wake_by_ref();
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Acquire)
    }

    /// Resolves when no connection is open. Cancel safe.
    pub async fn until_empty(&self) {
        loop {
            let notified = self.shared.empty.notified();
            if self.connections() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Counts one connection as open for as long as the returned value lives.
    pub fn enter(&self) -> DrainToken {
        self.count_one();
        DrainToken { watch: self.watch() }
    }

    /// Follows the phase, for what is no connection of its own.
    pub(crate) fn watch(&self) -> PhaseWatch {
        let whole = self.shared.whole.as_ref().map(|whole| Box::new(whole.watch()));
        PhaseWatch { drain: self.clone(), registered: None, whole }
    }

    fn count_one(&self) {
        self.shared.connections.fetch_add(1, Ordering::AcqRel);
        if let Some(whole) = &self.shared.whole {
            whole.count_one();
        }
    }

    fn count_one_less(&self) {
        if self.shared.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.empty.notify_waiters();
        }
        if let Some(whole) = &self.shared.whole {
            whole.count_one_less();
        }
    }
}

/// One open connection, as its [`Drain`] counts it.
pub struct DrainToken {
    watch: PhaseWatch,
}

impl DrainToken {
    /// The phase now; the task of `cx` is woken when it changes. A connection calls it on every
    /// poll, so the common case is one atomic load and one comparison of wakers.
    pub fn poll_phase(&mut self, cx: &Context<'_>) -> Phase {
        self.watch.poll_phase(cx)
    }

    /// The phase now, without being woken later.
    pub(crate) fn phase(&self) -> Phase {
        self.watch.drain.phase()
    }
}

/// Follows the phase of a [`Drain`], and counts for nothing.
pub(crate) struct PhaseWatch {
    drain: Drain,
    registered: Option<(usize, Waker)>,
    /// The same of the whole.
    whole: Option<Box<PhaseWatch>>,
}

impl PhaseWatch {
    /// As [`DrainToken::poll_phase`].
    pub(crate) fn poll_phase(&mut self, cx: &Context<'_>) -> Phase {
        if let Some(whole) = &mut self.whole {
            whole.poll_phase(cx);
        }
        match &mut self.registered {
            Some((_, waker)) if waker.will_wake(cx.waker()) => {}
            Some((key, waker)) => {
                waker.clone_from(cx.waker());
                if let Some(entry) = self.drain.shared.wakers.lock().get_mut(*key) {
                    entry.clone_from(cx.waker());
                }
            }
            None => {
                let waker = cx.waker().clone();
                let key = self.drain.shared.wakers.lock().insert(waker.clone());
                self.registered = Some((key, waker));
            }
        }
        // Read after the waker is registered: a change in between would otherwise be missed.
        self.drain.phase()
    }
}

impl Drop for PhaseWatch {
    fn drop(&mut self) {
        if let Some((key, _)) = self.registered.take() {
            self.drain.shared.wakers.lock().try_remove(key);
        }
    }
}

impl std::fmt::Debug for DrainToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DrainToken").field("phase", &self.phase()).finish_non_exhaustive()
    }
}

impl Drop for DrainToken {
    fn drop(&mut self) {
        self.watch.drain.count_one_less();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_part_follows_the_whole_and_not_the_other_way_round() {
        let whole = Drain::new();
        let (part, other) = (whole.part(), whole.part());
        let mut token = part.enter();
        assert_eq!((part.connections(), whole.connections(), other.connections()), (1, 1, 0));
        part.set_phase(Phase::Draining);
        assert_eq!((part.phase(), whole.phase()), (Phase::Draining, Phase::Serving));
        part.set_phase(Phase::Serving);
        let closing = poll_fn(|cx| match token.poll_phase(cx) {
            Phase::Closing => Poll::Ready(()),
            _ => Poll::Pending,
        });
        let close = async { whole.set_phase(Phase::Closing) };
        tokio::join!(closing, close);
        assert_eq!((part.phase(), other.phase()), (Phase::Closing, Phase::Closing));
        drop(token);
        whole.until_empty().await;
        assert_eq!(part.connections(), 0);
    }
}
