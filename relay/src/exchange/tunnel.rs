//! After an upgrade: bytes both ways, until both sides have had their say.
//!
//! When the server closes, a WebSocket is told so in its own language, between two frames, in
//! both directions. Other protocols have no goodbye we could say for them; they run to their end.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::guard::Release;
use super::origin::H1Origin;
use super::websocket::{CLOSE_TO_APP, CLOSE_TO_CLIENT, Frames};
use super::{Exchange, ExchangeReport, ResponseState};
use crate::drain::Phase;
use crate::error::ForwardError;
use crate::h1::Connection;
use crate::timer::{Deadlines, LazyTimer};

/// How long a client may go on, byte after byte no further apart than this, when the app has
/// closed its side. The app has given its slot back by then.
const HALF_CLOSED_PATIENCE: Duration = Duration::from_secs(10);

/// How long both sides of a WebSocket may take to close once they have been told to.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Tunnel<'a> {
    client: &'a mut Client,
    origin: Connection,
    report: &'a mut ExchangeReport,
    response: &'a mut ResponseState,
    alarm: &'a mut LazyTimer,
    deadlines: &'a mut Deadlines,
    guard: &'a mut (dyn Release + Send),
    up: Direction,
    down: Direction,
    /// When to stop waiting for sides that have been told to close.
    close_by: Option<Instant>,
    patience: Duration,
}

/// One direction of a tunnel.
struct Direction {
    state: State,
    /// Follows WebSocket frames, and holds what to say at the end of one.
    frames: Option<(Frames, &'static [u8])>,
    leaving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our goodbye is said; whatever still comes is dropped.
    Told,
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
        if let Client::H1(client) = &mut exchange.client {
            client.connection.become_tunnel();
            client.persistent = false;
        }
        exchange.head.leave_buffer();
        let upgrade = exchange.head.upgrade.as_ref();
        let speaks_frames =
            upgrade.is_some_and(|token| token.as_bytes().eq_ignore_ascii_case(b"websocket"));
        Tunnel {
            client: &mut exchange.client,
            origin,
            report: &mut exchange.report,
            response: &mut exchange.response,
            alarm: &mut exchange.alarm,
            deadlines,
            guard,
            up: Direction::new(speaks_frames.then_some(CLOSE_TO_APP)),
            down: Direction::new(speaks_frames.then_some(CLOSE_TO_CLIENT)),
            close_by: None,
            patience: HALF_CLOSED_PATIENCE,
        }
    }

    /// The connection to the upstream, when the client is gone.
    pub(crate) fn into_origin(self) -> Connection {
        self.origin
    }

    /// Ready when both directions are closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        let Client::H1(client) = &mut *self.client else {
            return Poll::Ready(Err(ForwardError::ClientGone));
        };
        let leaving = client.membership.poll_phase(cx) == Phase::Closing;
        if leaving && self.up.frames.is_some() && !self.up.leaving {
            self.up.leaving = true;
            self.down.leaving = true;
            self.patience = GOODBYE_PATIENCE;
            self.close_by = Some(Instant::now() + self.patience);
        }
        let client = &mut client.connection;
        let before = (self.report.request_bytes, self.report.response_bytes);
        let up = self.up.poll(cx, client, &mut self.origin, &mut self.report.request_bytes);
        let down = self.down.poll(cx, &mut self.origin, client, &mut self.report.response_bytes);
        let moved = before != (self.report.request_bytes, self.report.response_bytes);
        if moved {
            self.deadlines.touch();
        }
        let patience_begins_anew = match self.close_by {
            None => down.is_ready(),
            Some(_) => moved && !self.up.leaving,
        };
        if patience_begins_anew {
            self.close_by = Some(Instant::now() + self.patience);
        }
        if matches!(self.down.state, State::Closing | State::Closed) {
            self.guard.release();
        }
        *self.response = ResponseState::Complete;
        match (up, down) {
            (Poll::Ready(_), Poll::Ready(_)) => return Poll::Ready(Ok(())),
            // A broken side will never be heard of again; an orderly end may be one half only.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Ok(())),
            _ => {}
        }
        if let Some(by) = self.close_by
            && self.alarm.poll_until(cx, by).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let timeout = ready!(self.alarm.poll_deadlines(cx, self.deadlines));
        Poll::Ready(Err(ForwardError::TimedOut(timeout)))
    }
}

impl Direction {
    fn new(goodbye: Option<&'static [u8]>) -> Direction {
        let frames = goodbye.map(|goodbye| (Frames::default(), goodbye));
        Direction { state: State::Open, frames, leaving: false }
    }

    /// Moves bytes until there are none to move. Ready when this direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            self.say_goodbye(to);
            match self.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::Closing => {
                    ready!(to.poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Open | State::Told => match from.poll_data(cx) {
                    Poll::Ready(Ok(true)) => ready!(self.poll_pass(cx, from, to, moved))?,
                    Poll::Ready(Ok(false)) => self.state = State::Closing,
                    Poll::Ready(Err(_)) => {
                        self.state = State::Closed;
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    Poll::Pending => {
                        ready!(to.poll_flush(cx))?;
                        // It may be quiet for days.
                        from.release_input();
                        to.release_output();
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Says goodbye if it is time to and no frame is cut in two by it.
    fn say_goodbye(&mut self, to: &mut Connection) {
        if let Some((frames, goodbye)) = &self.frames
            && self.leaving
            && self.state == State::Open
            && frames.at_boundary()
        {
            to.output().extend_from_slice(goodbye);
            self.state = State::Told;
        }
    }

    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Connection,
        to: &mut Connection,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        let data = from.data();
        if self.state == State::Told {
            let count = data.len();
            from.consume(count);
            return Poll::Ready(Ok(()));
        }
        let (count, frames) = match &mut self.frames {
            // What leaves must end with a frame, so that the goodbye can follow.
            Some((frames, _)) if self.leaving => (frames.clone().pass_to_boundary(data), frames),
            Some((frames, _)) => (data.len(), frames),
            None => {
                let count = ready!(to.poll_write_data(cx, data))?;
                from.consume(count);
                *moved += count as u64;
                return Poll::Ready(Ok(()));
            }
        };
        let count = ready!(to.poll_write_data(cx, &data[..count]))?;
        frames.pass(&data[..count]);
        from.consume(count);
        *moved += count as u64;
        Poll::Ready(Ok(()))
    }
}
