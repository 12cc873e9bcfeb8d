//! Flow control and time limits of a connection, for the task that drives it: grows the window when
//! much is sent and memory is ample, and bounds how long a frame may take.

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

/// A window costs twice its size when it is full: a frame keeps the whole buffer that it arrived in
/// alive.
const WINDOW_COST: usize = 2;

/// How many bytes a peer may send before they are taken, over all streams of a connection.
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
    /// for what it may send. It never shrinks again: a window that was granted cannot be
    /// taken back.
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

/// Bounds how long a frame or head that has begun may take.
pub(crate) struct HeadClock {
    timeout: Duration,
    /// When the first head has to be complete.
    first_by: Option<Instant>,
    /// The frame or head that has begun and not ended, and when that was first seen.
    begun: Option<(u64, Instant)>,
    /// The earliest next check.
    again: Option<Instant>,
    timer: LazyTimer,
}

/// Whether streams are alive on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    Alive,
    None,
}

impl HeadClock {
    /// Heads may take `timeout`, the first one until `first_by`.
    pub(crate) fn new(timeout: Duration, first_by: Instant) -> HeadClock {
        HeadClock {
            timeout,
            first_by: Some(first_by),
            begun: None,
            again: None,
            timer: LazyTimer::default(),
        }
    }

    /// The first head is complete.
    pub(crate) fn first_head_arrived(&mut self) {
        self.first_by = None;
    }

    /// Ready when a frame or head has not ended in time, and no stream is open that would be cut
    /// short.
    pub(crate) fn poll_late(
        &mut self,
        cx: &mut Context<'_>,
        watch: &Watch,
        streams: Streams,
    ) -> Poll<()> {
        self.begun = watch.unfinished().map(|number| match self.begun {
            Some((same, since)) if same == number => (number, since),
            _ => (number, Instant::now()),
        });
        let begun_by = self.begun.map(|(_, since)| since + self.timeout);
        let Some(due) = [self.first_by, begun_by].into_iter().flatten().min() else {
            self.again = None;
            return Poll::Pending;
        };
        let check_at = self.again.map_or(due, |again| again.max(due));
        if self.timer.poll_until(cx, check_at).is_pending() {
            return Poll::Pending;
        }
        if streams == Streams::None {
            return Poll::Ready(());
        }
        // Their end does not wake this task, so check again later.
        let again = Instant::now() + self.timeout.max(CHECK_PERIOD_MIN);
        self.again = Some(again);
        self.timer.poll_until(cx, again)
    }
}

/// The shortest time between two checks, so that a short limit does not become a busy loop.
const CHECK_PERIOD_MIN: Duration = Duration::from_millis(10);
