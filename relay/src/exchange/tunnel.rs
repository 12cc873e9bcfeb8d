//! After an upgrade: bytes both ways, until both sides have had their say.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::forward::Release;
use super::origin::H1Origin;
use super::websocket::Farewell;
use super::{Answer, Exchange, Report};
use crate::drain::Phase;
use crate::error::ForwardError;
use crate::h1::Connection;
use crate::timer::{Alarm, Deadlines};

/// How long a client may go on, byte after byte no further apart than this, when the app has
/// closed its side. The app has given its slot back by then.
const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(10);

/// How long both sides may take to hang up once a WebSocket was told that we are going away.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Tunnel<'a> {
    client: &'a mut Client,
    origin: Connection,
    report: &'a mut Report,
    answer: &'a mut Answer,
    alarm: &'a mut Alarm,
    deadlines: &'a mut Deadlines,
    guard: &'a mut (dyn Release + Send),
    up: Direction,
    down: Direction,
    app_closed_at: Option<Instant>,
    /// How to say goodbye, where the protocol has words for it.
    farewell: Option<Farewell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Open,
    Closing,
    Closed,
}

impl<'a> Tunnel<'a> {
    pub(crate) fn new(
        exchange: &'a mut Exchange,
        origin: H1Origin,
        deadlines: &'a mut Deadlines,
        guard: &'a mut (dyn Release + Send),
    ) -> Tunnel<'a> {
        let mut origin = origin.connection;
        origin.become_tunnel();
        deadlines.become_tunnel();
        let upgrade = exchange.head.upgrade.as_ref();
        let is_websocket =
            upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if let Client::H1(client) = &mut exchange.client {
            client.connection.become_tunnel();
            client.persistent = false;
        }
        Tunnel {
            client: &mut exchange.client,
            origin,
            report: &mut exchange.report,
            answer: &mut exchange.answer,
            alarm: &mut exchange.alarm,
            deadlines,
            guard,
            up: Direction::Open,
            down: Direction::Open,
            app_closed_at: None,
            farewell: is_websocket.then(Farewell::default),
        }
    }

    /// Ready when both directions are closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        let Client::H1(client) = &mut *self.client else {
            return Poll::Ready(Err(ForwardError::ClientGone));
        };
        if let Some(farewell) = &mut self.farewell
            && farewell.is_unwanted()
            && client.membership.poll_phase(cx) == Phase::Closing
        {
            farewell.want();
        }
        let client = &mut client.connection;
        let before = (self.report.request_bytes, self.report.response_bytes);
        let up = self.up.poll(cx, client, &mut self.origin, &mut self.report.request_bytes, None);
        let (moved, farewell) = (&mut self.report.response_bytes, self.farewell.as_mut());
        let down = self.down.poll(cx, &mut self.origin, client, moved, farewell);
        if before != (self.report.request_bytes, self.report.response_bytes) {
            self.deadlines.touch();
            self.app_closed_at = self.app_closed_at.map(|_| Instant::now());
        }
        if down.is_ready() && self.app_closed_at.is_none() {
            self.app_closed_at = Some(Instant::now());
            self.guard.release();
        }
        *self.answer = Answer::Complete;
        match (up, down) {
            (Poll::Ready(_), Poll::Ready(_)) => return Poll::Ready(Ok(())),
            // A broken side will never be heard of again; an orderly end may be one half only.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        if let Some(at) = self.app_closed_at
            && self.alarm.poll_until(cx, at + HALF_CLOSED_PATIENCE).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        if let Some(at) = self.farewell.as_ref().and_then(Farewell::said_at)
            && self.alarm.poll_until(cx, at + FAREWELL_PATIENCE).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let timeout = ready!(self.alarm.poll_deadlines(cx, self.deadlines));
        Poll::Ready(Err(ForwardError::TimedOut(timeout)))
    }
}

impl Direction {
    /// Moves bytes until there are none to move. Ready when this direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
        moved: &mut u64,
        mut farewell: Option<&mut Farewell>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            if let Some(goodbye) = farewell.as_mut().and_then(|f| f.take(Instant::now)) {
                to.output().extend_from_slice(goodbye);
            }
            match self {
                Direction::Closed => return Poll::Ready(Ok(())),
                Direction::Closing => {
                    ready!(to.poll_shutdown(cx))?;
                    *self = Direction::Closed;
                }
                Direction::Open => match from.poll_data(cx) {
                    Poll::Ready(Ok(true)) => {
                        let data = from.data();
                        let count = match &mut farewell {
                            None => ready!(to.poll_write_data(cx, data))?,
                            // Nothing may follow the goodbye.
                            Some(farewell) if farewell.said_at().is_some() => data.len(),
                            Some(farewell) => {
                                let allowed = farewell.allowed(data);
                                let count = ready!(to.poll_write_data(cx, &data[..allowed]))?;
                                farewell.sent(&data[..count]);
                                count
                            }
                        };
                        from.consume(count);
                        *moved += count as u64;
                    }
                    Poll::Ready(Ok(false)) => *self = Direction::Closing,
                    Poll::Ready(Err(_)) => {
                        return Poll::Ready(Err(std::io::ErrorKind::ConnectionReset.into()));
                    }
                    Poll::Pending => {
                        ready!(to.poll_flush(cx))?;
                        return Poll::Pending;
                    }
                },
            }
        }
    }
}
