//! What the task that drives a connection does beside polling it: opens the window when much is
//! sent and memory is ample, and watches the clock.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::watch::Watch;
use crate::memory::{self, Charge};
use crate::timer::LazyTimer;

/// The window that every HTTP/2 connection has from the start (RFC 9113, section 6.9.2).
pub(crate) const FIRST_WINDOW: u32 = 65_535;
/// Each window is so many times as large as the last one.
const GROWTH: u32 = 4;

/// A window costs twice its size when it is full: a frame keeps all of the buffer that it came in.
const WINDOW_COST: usize = 2;

/// How much a peer may send that nobody has taken, over all streams of a connection.
pub(crate) struct Window {
    size: u32,
    size_max: u32,
    seen_bytes: u64,
    charge: Charge,
}

impl Window {
    /// The first window of a connection, which may grow to `size_max`.
    pub(crate) fn new(watch: &Watch, size_max: u32) -> Window {
        Window { size: FIRST_WINDOW, size_max, seen_bytes: 0, charge: Charge::on(watch.account()) }
    }

    /// The next window, when the peer has sent half of the last one and there is room in memory
    /// for what it may send. It never shrinks again: the peer has been told.
    pub(crate) fn widen(&mut self, watch: &Watch) -> Option<u32> {
        if self.size == self.size_max {
            return None;
        }
        self.seen_bytes += watch.take_data_bytes();
        if self.seen_bytes < u64::from(self.size / 2) || !memory::is_ample() {
            return None;
        }
        let next = self.size.saturating_mul(GROWTH).min(self.size_max);
        self.charge.raise_to(WINDOW_COST * next as usize).ok()?;
        self.seen_bytes = 0;
        self.size = next;
        Some(next)
    }
}

/// How long what has begun may take.
pub(crate) struct HeadClock {
    patience: Duration,
    /// When the first head has to be complete.
    first_by: Option<Instant>,
    /// The frame or head that has begun and not ended, and when that was first seen.
    begun: Option<(u64, Instant)>,
    /// No earlier look than this.
    again: Option<Instant>,
    alarm: LazyTimer,
}

/// Whether streams are alive on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    Alive,
    None,
}

impl HeadClock {
    /// Heads may take `patience`, the first one until `first_by`.
    pub(crate) fn new(patience: Duration, first_by: Instant) -> HeadClock {
        HeadClock {
            patience,
            first_by: Some(first_by),
            begun: None,
            again: None,
            alarm: LazyTimer::default(),
        }
    }

    /// The first head has come.
    pub(crate) fn first_is_here(&mut self) {
        self.first_by = None;
    }

    /// Ready when something has begun, has not ended in time, and no stream would be cut short.
    pub(crate) fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        watch: &Watch,
        streams: Streams,
    ) -> Poll<()> {
        self.begun = watch.midway().map(|number| match self.begun {
            Some((same, since)) if same == number => (number, since),
            _ => (number, Instant::now()),
        });
        let begun_by = self.begun.map(|(_, since)| since + self.patience);
        let Some(due) = [self.first_by, begun_by].into_iter().flatten().min() else {
            self.again = None;
            return Poll::Pending;
        };
        let look = self.again.map_or(due, |again| again.max(due));
        if self.alarm.poll_until(cx, look).is_pending() {
            return Poll::Pending;
        }
        if streams == Streams::None {
            return Poll::Ready(());
        }
        // Their end wakes nobody here, so look again later.
        let again = Instant::now() + self.patience.max(LOOK_MIN);
        self.again = Some(again);
        self.alarm.poll_until(cx, again)
    }
}

/// However short the patience is, looking does not become a busy loop.
const LOOK_MIN: Duration = Duration::from_millis(10);
