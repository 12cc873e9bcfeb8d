//! Time limits, armed lazily: one timer per connection, not one per request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::Timeout;

/// How long an exchange may take. Every limit runs from the moment the request's head was
/// complete, so time spent waiting for admission counts. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeLimits {
    /// Until the response's head arrives.
    pub response_start: Option<Duration>,
    /// Between two bytes, in whichever direction they flow.
    pub idle: Option<Duration>,
    /// Until the last byte of the response.
    pub overall: Option<Duration>,
}

/// The limits of one exchange, and its progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    started: Instant,
    limits: TimeLimits,
    /// The last time a byte moved; only kept up to date when there is an idle limit.
    active: Instant,
    response_started: bool,
}

impl Deadlines {
    pub(crate) fn new(started: Instant, limits: TimeLimits) -> Deadlines {
        Deadlines { started, limits, active: started, response_started: false }
    }

    /// Records that bytes were moved.
    pub(crate) fn touch(&mut self) {
        if self.limits.idle.is_some() {
            self.active = Instant::now();
        }
    }

    /// The response began.
    pub(crate) fn response_started(&mut self) {
        self.response_started = true;
    }

    /// From here on bytes flow both ways without messages. A limit on the whole exchange would
    /// end a busy stream at exactly that age, so in a tunnel it bounds silence instead.
    pub(crate) fn become_tunnel(&mut self) {
        self.response_started = true;
        let overall = self.limits.overall.take();
        self.limits.idle = [self.limits.idle, overall].into_iter().flatten().min();
        self.touch();
    }

    /// The earliest limit, and when it expires.
    fn next(&self) -> Option<(Instant, Timeout)> {
        let overall = self.limits.overall.map(|limit| (self.started + limit, Timeout::Overall));
        let idle = self.limits.idle.map(|limit| (self.active + limit, Timeout::Idle));
        let start = match self.response_started {
            true => None,
            false => self.limits.response_start,
        };
        let start = start.map(|limit| (self.started + limit, Timeout::ResponseStart));
        [overall, idle, start].into_iter().flatten().min_by_key(|(when, _)| *when)
    }
}

/// One reusable timer.
///
/// It stays armed for the earliest deadline it ever had and compares with the current one only when
/// it fires. Most exchanges end long before, so most requests never touch the timer wheel.
#[derive(Default)]
pub(crate) struct LazyTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl LazyTimer {
    /// Ready when the earliest of `deadlines` has passed.
    pub(crate) fn poll_deadlines(
        &mut self,
        cx: &mut Context<'_>,
        deadlines: &Deadlines,
    ) -> Poll<Timeout> {
        match deadlines.next() {
            Some((when, timeout)) => self.poll_until(cx, when).map(|()| timeout),
            None => Poll::Pending,
        }
    }

    /// Ready when `when` has passed.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, when: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(when)));
        if sleep.deadline() > when {
            sleep.as_mut().reset(when);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= when {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(when);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_does_not_rearm_and_is_still_kept() {
        let mut timer = LazyTimer::default();
        let start = Instant::now();
        let first = start + Duration::from_secs(1);
        let second = start + Duration::from_secs(3);
        poll_fn(|cx| {
            assert!(timer.poll_until(cx, first).is_pending());
            Poll::Ready(())
        })
        .await;
        poll_fn(|cx| timer.poll_until(cx, second)).await;
        assert_eq!(Instant::now() - start, Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_rearms() {
        let mut timer = LazyTimer::default();
        let start = Instant::now();
        poll_fn(|cx| {
            assert!(timer.poll_until(cx, start + Duration::from_secs(9)).is_pending());
            Poll::Ready(())
        })
        .await;
        poll_fn(|cx| timer.poll_until(cx, start + Duration::from_secs(2))).await;
        assert_eq!(Instant::now() - start, Duration::from_secs(2));
    }

    #[test]
    fn the_earliest_limit_wins_and_a_started_response_lifts_its_own() {
        let start = Instant::now();
        let limits = TimeLimits {
            response_start: Some(Duration::from_secs(1)),
            idle: Some(Duration::from_secs(2)),
            overall: Some(Duration::from_secs(3)),
        };
        let mut deadlines = Deadlines::new(start, limits);
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::ResponseStart));
        deadlines.response_started();
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::Idle));
        deadlines.limits.idle = None;
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::Overall));
    }
}
