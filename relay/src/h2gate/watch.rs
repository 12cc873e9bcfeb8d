//! The half of a gate that other parts read: the task that drives the connection, and its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use h2::Reason;
use parking_lot::Mutex;

use crate::memory::{Account, Charge, OverBudget};

/// What a gate and its readers share.
#[derive(Default)]
pub(super) struct GateState {
    account: Account,
    turn: AtomicU64,
    turn_is_over: AtomicBool,
    /// The number of frames that have begun.
    frames: AtomicU64,
    /// The number of the frame that has begun and not ended; zero when there is none.
    unfinished: AtomicU64,
    /// Bytes of bodies since they were last taken.
    data: AtomicU64,
    /// Why nothing more is read; zero, which stands for no error, while there is no reason.
    stopped: AtomicU32,
    /// Its compression table keeps so many bytes that the connection should be replaced.
    retired: AtomicBool,
    /// The charges for the trailers of open streams, which the library keeps until they are taken.
    /// The latest stream is last: it is searched for most often.
    trailers: Mutex<Vec<(u32, Charge)>>,
}

impl GateState {
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

    /// A frame or head has begun and not ended.
    pub(super) fn mark_unfinished(&self) {
        // The frame may not have been counted yet, and zero means none, so the number is one more.
        self.unfinished.store(self.frames.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Every frame and head that has begun has ended.
    pub(super) fn mark_finished(&self) {
        self.unfinished.store(0, Ordering::Relaxed);
    }

    pub(super) fn stop(&self, reason: Reason) {
        self.stopped.store(reason.into(), Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire) != 0
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Charges trailers until the stream ends, if there is such a stream.
    pub(super) fn charge_trailers(&self, stream: u32, bytes: usize) -> Result<(), OverBudget> {
        match self.trailers.lock().iter_mut().rfind(|(number, _)| *number == stream) {
            Some((_, charge)) => charge.add(bytes),
            None => Ok(()),
        }
    }
}

/// The state of a gate that other parts read. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch {
    shared: Arc<GateState>,
}

impl Watch {
    pub(super) fn new(shared: Arc<GateState>) -> Watch {
        Watch { shared }
    }

    /// The connection's account.
    pub(crate) fn account(&self) -> &Account {
        &self.shared.account
    }

    /// Begins another turn. Call it when the library is idle: all heads of the last turn have been
    /// taken by then. True when the gate waits for it, so that the library
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

    /// Whether the connection should carry no further streams, because a new connection would need
    /// less memory.
    pub(crate) fn is_retired(&self) -> bool {
        self.shared.retired.load(Ordering::Relaxed)
    }

    /// The number of the frame, or of the head, that has begun and not ended.
    pub(crate) fn unfinished(&self) -> Option<u64> {
        Some(self.shared.unfinished.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }

    /// Bytes of bodies that arrived since the last call.
    pub(crate) fn take_data_bytes(&self) -> u64 {
        match self.shared.data.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.shared.data.swap(0, Ordering::Relaxed),
        }
    }

    /// Tracks a stream until the returned value is dropped.
    pub(crate) fn open(&self, stream: u32) -> StreamEntry {
        let charge = Charge::on(&self.shared.account);
        self.shared.trailers.lock().push((stream, charge));
        StreamEntry { shared: self.shared.clone(), stream }
    }
}

/// An open stream, as the gate tracks it.
pub(crate) struct StreamEntry {
    shared: Arc<GateState>,
    stream: u32,
}

impl Drop for StreamEntry {
    fn drop(&mut self) {
        let mut trailers = self.shared.trailers.lock();
        let index = trailers.iter().rposition(|(number, _)| *number == self.stream);
        let charge = index.map(|index| trailers.swap_remove(index));
        // The charge is given back outside the lock.
        drop(trailers);
        drop(charge);
    }
}
