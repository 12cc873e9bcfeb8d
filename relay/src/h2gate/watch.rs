//! The half of a gate that is looked at from outside: by the task that drives the connection, and
//! by its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use h2::Reason;
use parking_lot::Mutex;

use crate::memory::{Account, Charge, OverBudget};

#[derive(Default)]
pub(super) struct Shared {
    account: Account,
    turn: AtomicU64,
    turn_is_over: AtomicBool,
    /// The number of frames that have begun.
    frames: AtomicU64,
    /// The number of the frame that has begun and not ended; zero when there is none.
    midway: AtomicU64,
    /// Bytes of bodies since the last look.
    data: AtomicU64,
    /// Why nothing more is read; zero, which stands for no error, while there is no reason.
    stopped: AtomicU32,
    /// Its compression table keeps so much that another connection would be better.
    worn: AtomicBool,
    /// What the trailers of open streams hold that the library keeps until they are asked for.
    /// The latest stream is last, which is the one that is asked for most.
    trailers: Mutex<Vec<(u32, Charge)>>,
}

impl Shared {
    pub(super) fn account(&self) -> &Account {
        &self.account
    }

    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Acquire)
    }

    pub(super) fn end_turn(&self) {
        self.turn_is_over.store(true, Ordering::Release);
    }

    pub(super) fn count_frame(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_data(&self, bytes: usize) {
        self.data.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn set_midway(&self, midway: bool) {
        // The frame that has begun may not have been counted yet; one number up is as good.
        let number = if midway { self.frames.load(Ordering::Relaxed) + 1 } else { 0 };
        self.midway.store(number, Ordering::Relaxed);
    }

    pub(super) fn stop(&self, reason: Reason) {
        self.stopped.store(reason.into(), Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) != 0
    }

    pub(super) fn wear_out(&self) {
        self.worn.store(true, Ordering::Relaxed);
    }

    /// Charges trailers until the stream ends, if there is such a stream.
    pub(super) fn charge_trailers(&self, stream: u32, bytes: usize) -> Result<(), OverBudget> {
        match self.trailers.lock().iter_mut().rfind(|(number, _)| *number == stream) {
            Some((_, charge)) => charge.add(bytes),
            None => Ok(()),
        }
    }
}

/// What can be seen of a gate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Watch {
        Watch { shared }
    }

    /// The connection's account.
    pub(crate) fn account(&self) -> &Account {
        &self.shared.account
    }

    /// Begins another turn. To be called when the library has nothing more to do: all heads of
    /// the last turn have been taken by then. True when the gate waits for it, so that the library
    /// has to be polled again.
    pub(crate) fn next_turn(&self) -> bool {
        self.shared.turn.fetch_add(1, Ordering::AcqRel);
        self.shared.turn_is_over.swap(false, Ordering::AcqRel)
    }

    /// Why the connection has to end, if it has to. Nothing more is read from it.
    pub(crate) fn stopped(&self) -> Option<Reason> {
        match self.shared.stopped.load(Ordering::Acquire) {
            0 => None,
            reason => Some(reason.into()),
        }
    }

    /// Whether the connection should carry no further streams, because another would cost less.
    pub(crate) fn is_worn(&self) -> bool {
        self.shared.worn.load(Ordering::Relaxed)
    }

    /// The number of the frame, or of the head, that has begun and not ended.
    pub(crate) fn midway(&self) -> Option<u64> {
        Some(self.shared.midway.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }

    /// Bytes of bodies that came since the last look.
    pub(crate) fn take_data_bytes(&self) -> u64 {
        match self.shared.data.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.shared.data.swap(0, Ordering::Relaxed),
        }
    }

    /// Follows a stream until the returned value is dropped.
    pub(crate) fn open(&self, stream: u32) -> StreamEntry {
        let charge = Charge::on(&self.shared.account);
        self.shared.trailers.lock().push((stream, charge));
        StreamEntry { shared: self.shared.clone(), stream }
    }
}

/// A stream that somebody holds.
pub(crate) struct StreamEntry {
    shared: Arc<Shared>,
    stream: u32,
}

impl Drop for StreamEntry {
    fn drop(&mut self) {
        let mut trailers = self.shared.trailers.lock();
        let index = trailers.iter().rposition(|(number, _)| *number == self.stream);
        let charge = index.map(|index| trailers.swap_remove(index));
        // Given back outside the lock.
        drop(trailers);
        drop(charge);
    }
}
