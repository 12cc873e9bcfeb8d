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
    /// What holds from the begin of the response on.
    pub stream: StreamLimits,
}

/// How long what has begun may go on: a response, a tunnel, a connection that is passed on as it
/// is. Waiting for its begin does not count. `None` means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamLimits {
    /// Between two bytes, in whichever direction they flow.
    pub idle: Option<Duration>,
    /// From its begin to its end.
    pub lifetime: Option<Duration>,
}

impl StreamLimits {
    fn are_some(self) -> bool {
        self.idle.is_some() || self.lifetime.is_some()
    }
}

/// The limits of one exchange, and its progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    started: Instant,
    limits: TimeLimits,
    /// The last time a byte moved; only kept up to date when there is an idle limit.
    active: Instant,
    /// When the response began; only exact when there are limits from there on.
    began: Option<Instant>,
}

impl Deadlines {
    pub(crate) fn new(started: Instant, limits: TimeLimits) -> Deadlines {
        Deadlines { started, limits, active: started, began: None }
    }

    /// Those of something that begins now, without a request.
    pub(crate) fn of_stream(limits: StreamLimits) -> Deadlines {
        let limits = TimeLimits { stream: limits, ..TimeLimits::default() };
        let mut deadlines = Deadlines::new(Instant::now(), limits);
        deadlines.response_started();
        deadlines
    }

    /// Records that bytes were moved.
    pub(crate) fn touch(&mut self) {
        if self.limits.idle.is_some() || self.limits.stream.idle.is_some() {
            self.active = Instant::now();
        }
    }

    /// The response began.
    pub(crate) fn response_started(&mut self) {
        let exact = self.began.is_none() && self.limits.stream.are_some();
        let began = if exact { Instant::now() } else { self.started };
        self.began.get_or_insert(began);
    }

    /// From here on bytes flow both ways without messages. A limit on the whole exchange would
    /// end a busy stream at exactly that age, so in a tunnel it bounds silence instead.
    pub(crate) fn become_tunnel(&mut self) {
        self.response_started();
        let overall = self.limits.overall.take();
        self.limits.idle = [self.limits.idle, overall].into_iter().flatten().min();
        self.touch();
    }

    /// It is being ended because one of the limits of a stream has passed.
    pub(crate) fn lift_stream_limits(&mut self) {
        self.limits.stream = StreamLimits::default();
    }

    /// The earliest limit, and when it expires.
    pub(crate) fn next(&self) -> Option<(Instant, Timeout)> {
        let overall = self.limits.overall.map(|limit| (self.started + limit, Timeout::Overall));
        let idle = self.limits.idle.map(|limit| (self.active + limit, Timeout::Idle));
        let before = overall.into_iter().chain(idle);
        let Some(began) = self.began else {
            let start = self.limits.response_start;
            let start = start.map(|limit| (self.started + limit, Timeout::ResponseStart));
            return before.chain(start).min_by_key(|(when, _)| *when);
        };
        let StreamLimits { idle, lifetime } = self.limits.stream;
        let idle = idle.map(|limit| (self.active.max(began) + limit, Timeout::StreamIdle));
        let lifetime = lifetime.map(|limit| (began + limit, Timeout::StreamLifetime));
        before.chain(idle).chain(lifetime).min_by_key(|(when, _)| *when)
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
            stream: StreamLimits::default(),
        };
        let mut deadlines = Deadlines::new(start, limits);
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::ResponseStart));
        deadlines.response_started();
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::Idle));
        deadlines.limits.idle = None;
        assert_eq!(deadlines.next().map(|next| next.1), Some(Timeout::Overall));
    }

    #[tokio::test(start_paused = true)]
    async fn limits_of_a_stream_run_from_its_begin_and_not_from_the_requests() {
        let stream = StreamLimits {
            idle: Some(Duration::from_secs(2)),
            lifetime: Some(Duration::from_secs(3)),
        };
        let limits = TimeLimits { stream, ..TimeLimits::default() };
        let mut deadlines = Deadlines::new(Instant::now(), limits);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(deadlines.next(), None, "it waits in a queue");
        deadlines.response_started();
        let began = Instant::now();
        let idle = (began + Duration::from_secs(2), Timeout::StreamIdle);
        assert_eq!(deadlines.next(), Some(idle));
        tokio::time::advance(Duration::from_secs(1)).await;
        deadlines.touch();
        deadlines.become_tunnel();
        let lifetime = (began + Duration::from_secs(3), Timeout::StreamLifetime);
        assert_eq!(deadlines.next().map(|next| next.0), Some(lifetime.0));
        deadlines.limits.stream.idle = None;
        assert_eq!(deadlines.next(), Some(lifetime));
        deadlines.lift_stream_limits();
        assert_eq!(deadlines.next(), None);
    }
}
