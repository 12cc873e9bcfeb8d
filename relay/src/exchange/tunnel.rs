//! After an upgrade: bytes in both directions, until both have ended.
//!
//! When the server closes, or the time of a stream is over, a WebSocket gets a close frame, between
//! two of its own frames, in both directions. For other protocols there is no such message: they
//! outlive the server's closing, and are cut when their time is over.

mod end;

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use self::end::End;
use super::client::Client;
use super::guard::Release;
use super::origin::H1Origin;
use super::websocket::{self, CLOSE_TO_APP, CLOSE_TO_CLIENT, Frames};
use super::{Exchange, ExchangeReport, ResponseState};
use crate::drain::Phase;
use crate::error::{ForwardError, Timeout};
use crate::h1::Connection;
use crate::timer::{Deadlines, LazyTimer};

/// The longest pause between two bytes of a client once the app has closed its side. The app's slot
/// is free by then.
const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(10);

/// How long both sides of a WebSocket may take to close once the close frame is sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Tunnel<'a> {
    client: &'a mut Client,
    origin: Connection,
    report: &'a mut ExchangeReport,
    response: &'a mut ResponseState,
    timer: &'a mut LazyTimer,
    deadlines: &'a mut Deadlines,
    guard: &'a mut (dyn Release + Send),
    up: Direction,
    down: Direction,
    /// When to stop waiting for both sides to close.
    close_by: Option<Instant>,
    close_timeout: Duration,
}

/// One direction of a tunnel.
struct Direction {
    state: State,
    /// Follows WebSocket frames, and holds the close frame to send at the end of one.
    frames: Option<(Frames, &'static [u8])>,
    /// It has to close, so this direction sends its close frame at the next boundary.
    closes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The close frame is being sent, of which so many bytes have been.
    Announcing(usize),
    /// The close frame is sent; whatever still arrives is dropped.
    CloseSent,
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
        let is_websocket = exchange.head.upgrade.as_ref().is_some_and(websocket::is_token);
        Tunnel {
            client: &mut exchange.client,
            origin,
            report: &mut exchange.report,
            response: &mut exchange.response,
            timer: &mut exchange.timer,
            deadlines,
            guard,
            up: Direction::new(is_websocket.then_some(CLOSE_TO_APP)),
            down: Direction::new(is_websocket.then_some(CLOSE_TO_CLIENT)),
            close_by: None,
            close_timeout: HALF_CLOSED_TIMEOUT,
        }
    }

    /// The connection to the upstream, once the tunnel has ended.
    pub(crate) fn into_origin(self) -> Connection {
        self.origin
    }

    /// Ready when both directions are closed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        if self.client.poll_phase(cx) == Phase::Closing {
            self.announce_end();
        }
        let before = (self.report.request_bytes, self.report.response_bytes);
        let client = self.client.end();
        let up = self.up.poll(cx, client, &mut self.origin, &mut self.report.request_bytes);
        let down = self.down.poll(cx, &mut self.origin, client, &mut self.report.response_bytes);
        let moved = before != (self.report.request_bytes, self.report.response_bytes);
        if moved {
            self.deadlines.touch();
        }
        let restarts_timeout = match self.close_by {
            None => down.is_ready(),
            Some(_) => moved && !self.up.closes,
        };
        if restarts_timeout {
            self.close_by = Some(Instant::now() + self.close_timeout);
        }
        // The app has closed its side, so its slot is free, however long the client keeps the rest
        // of the tunnel open.
        if matches!(self.down.state, State::Closing | State::Closed) {
            self.guard.release();
        }
        *self.response = ResponseState::Complete;
        match (up, down) {
            (Poll::Ready(_), Poll::Ready(_)) => return Poll::Ready(Ok(())),
            // A broken side sends nothing more; an orderly end may be that of one direction only.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => return Poll::Ready(Ok(())),
            (Poll::Ready(Ok(())), _) if self.client.poll_reset(cx).is_ready() => {
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        self.poll_time(cx)
    }

    /// Checks every limit in time.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ForwardError>> {
        if let Some(by) = self.close_by
            && self.timer.poll_until(cx, by).is_ready()
        {
            return Poll::Ready(Ok(()));
        }
        let timeout = ready!(self.timer.poll_deadlines(cx, self.deadlines));
        let may_announce = self.up.frames.is_some() && self.up.state == State::Open;
        if may_announce && matches!(timeout, Timeout::StreamIdle | Timeout::StreamLifetime) {
            self.deadlines.lift_stream_limits();
            self.announce_end();
            // The next poll sends what is due.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(ForwardError::TimedOut(timeout)))
    }

    /// Begins to close a WebSocket, once.
    fn announce_end(&mut self) {
        if self.up.frames.is_some() && !self.up.closes {
            self.up.closes = true;
            self.down.closes = true;
            self.close_timeout = CLOSE_TIMEOUT;
            self.close_by = Some(Instant::now() + self.close_timeout);
        }
    }
}

impl Direction {
    fn new(close_frame: Option<&'static [u8]>) -> Direction {
        let frames = close_frame.map(|close_frame| (Frames::default(), close_frame));
        Direction { state: State::Open, frames, closes: false }
    }

    /// Moves bytes until there are none to move. Ready when this direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut dyn End,
        to: &mut dyn End,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.state {
                State::Closed => return Poll::Ready(Ok(())),
                State::Closing => {
                    ready!(to.poll_shutdown(cx))?;
                    self.state = State::Closed;
                }
                State::Open if self.is_at_its_end() => self.state = State::Announcing(0),
                State::Announcing(sent) => {
                    let frame = self.frames.as_ref().map_or(&[][..], |(_, frame)| *frame);
                    let sent = sent + ready!(to.poll_write(cx, &frame[sent..]))?;
                    self.state = match sent < frame.len() {
                        true => State::Announcing(sent),
                        false => State::CloseSent,
                    };
                }
                State::Open | State::CloseSent => match from.poll_data(cx) {
                    Poll::Ready(Ok(true)) => ready!(self.poll_pass(cx, from, to, moved))?,
                    Poll::Ready(Ok(false)) => self.state = State::Closing,
                    Poll::Ready(Err(_)) => {
                        self.state = State::Closed;
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    Poll::Pending => {
                        ready!(to.poll_flush(cx))?;
                        // It may be idle for days.
                        from.rest_reading();
                        to.rest_writing();
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// It has to close, and is between two frames.
    fn is_at_its_end(&self) -> bool {
        self.closes && self.frames.as_ref().is_some_and(|(frames, _)| frames.at_boundary())
    }

    fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut dyn End,
        to: &mut dyn End,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        let data = from.data();
        if self.state == State::CloseSent {
            let count = data.len();
            from.consume(count);
            return Poll::Ready(Ok(()));
        }
        let count = match &self.frames {
            // What is sent must end with a frame, so that the close frame can follow.
            Some((frames, _)) if self.closes => frames.clone().pass_to_boundary(data),
            _ => data.len(),
        };
        let count = ready!(to.poll_write(cx, &data[..count]))?;
        if let Some((frames, _)) = &mut self.frames {
            frames.pass(&data[..count]);
        }
        from.consume(count);
        *moved += count as u64;
        Poll::Ready(Ok(()))
    }
}
