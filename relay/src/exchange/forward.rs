//! Forwarding: gets a connection, runs the exchange over it, retries where that is safe.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::abandoned::Abandoned;
use super::guard::{Guard, Release};
use super::origin::{H1Origin, H2Origin, Held, Origin, http2_request};
use super::pump::{Progress, Pump, PumpEnd};
use super::tunnel::Tunnel;
use super::{Exchange, ResponseState};
use crate::error::ForwardError;
use crate::h2io::{Ended, Outgoing, UPSTREAM_STREAM_BYTES};
use crate::head::BodyLength;
use crate::memory::{self, Charge};
use crate::timer::{Deadlines, TimeLimits};
use crate::upstream::{ConnectPatience, Protocol, Upstream};

/// How an exchange is to be forwarded.
#[derive(Debug)]
pub struct Forward<G> {
    /// How long it may take.
    pub limits: TimeLimits,
    /// How long the upstream may take to accept a connection.
    pub connect: ConnectPatience,
    /// What the request was admitted with. It is dropped at the moment the upstream is done with
    /// the exchange, however it ends, and never later than `forward` returns unless
    /// [`Guard::abandoned`] asks for it.
    pub guard: G,
}

/// How often one request is sent at most: once on a connection that turns out to be stale, once
/// on a fresh one, and once more when the upstream supports only the other protocol.
const ATTEMPTS_MAX: u32 = 3;

impl Exchange {
    /// Sends the request to `upstream` and the response to the client, bodies streaming both ways
    /// at the same time. Returns when both messages have ended, or, after an upgrade, when the
    /// tunnel has.
    ///
    /// # Errors
    ///
    /// When the exchange failed. If [`Exchange::has_responded`] is false the client still waits
    /// for a response; otherwise its response has been cut short, visibly.
    ///
    /// Not cancel safe: an exchange that is dropped half way is cut short.
    pub async fn forward<G: Guard>(
        &mut self,
        upstream: &Upstream,
        forward: Forward<G>,
    ) -> Result<(), ForwardError> {
        let mut guard = Some(forward.guard);
        let mut deadlines = Deadlines::new(self.started, forward.limits);
        // What waited for an upstream was not idle.
        deadlines.touch();
        self.report.connect = None;
        let with = (forward.connect, None);
        let outcome = self.attempts(upstream, with, &mut deadlines, &mut guard).await;
        self.ended(outcome, &mut guard)
    }

    /// It is over with its upstream.
    pub(super) fn ended(
        &mut self,
        outcome: Result<(), ForwardError>,
        guard: &mut (dyn Release + Send),
    ) -> Result<(), ForwardError> {
        guard.release();
        if let Err(error) = &outcome {
            tracing::debug!(%error, "exchange failed");
            match self.response {
                ResponseState::Begun => self.abort(),
                ResponseState::NotBegun if matches!(error, ForwardError::ClientGone) => {
                    self.response = ResponseState::ClientGone;
                }
                _ => {}
            }
        }
        outcome
    }

    /// Sends the request until it has ended or failed for good. It may have begun on a connection.
    pub(super) async fn attempts(
        &mut self,
        upstream: &Upstream,
        (patience, mut begun): (ConnectPatience, Option<Origin>),
        deadlines: &mut Deadlines,
        guard: &mut (dyn Release + Send),
    ) -> Result<(), ForwardError> {
        let mut reuse = Reuse::Allowed;
        let mut attempt = 1;
        loop {
            let at_hand = begun.take().or_else(|| self.connect_at_once(upstream, reuse));
            let mut origin = match at_hand {
                Some(origin) => origin,
                // Boxed because it is seldom needed and large.
                None => Box::pin(self.connect(upstream, patience, deadlines)).await?,
            };
            let (outcome, progress) = self.run(&mut origin, deadlines, guard).await;
            let error = match outcome {
                Ok(ending) => {
                    return self.conclude(upstream, origin, ending, deadlines, guard).await;
                }
                Err(error) => error,
            };
            // The upstream is not at fault, so it may still be working: the connection and the
            // guard stay together until it is done, or the slot would be free too early.
            if error.leaves_work_running() {
                let charge = std::mem::take(&mut self.charge);
                Abandoned::new(origin, progress, charge).spawn_holding(guard);
                return Err(error);
            }
            // The next request is sent in the right protocol even if this one cannot be sent again.
            let rejected_protocol =
                self.response == ResponseState::NotBegun && origin.looks_like_http2();
            if rejected_protocol {
                upstream.learn(Protocol::Http2);
            }
            let untouched =
                self.report.request_bytes == 0 && self.response == ResponseState::NotBegun;
            // Another connection would not change any of these.
            let is_final = matches!(
                error,
                ForwardError::SwitchedProtocol { .. }
                    | ForwardError::TooManyInformational
                    | ForwardError::OverBudget
                    | ForwardError::Declined { .. }
            );
            if !untouched || attempt == ATTEMPTS_MAX || is_final {
                return Err(error);
            }
            // A retry is safe for three reasons only: the upstream rejected the protocol, it closed
            // an idle connection before any byte of the request was written, or the request is one
            // that may be repeated.
            let repeatable =
                origin.may_be_stale() && (!origin.is_touched() || self.head.is_replayable());
            if !rejected_protocol && !repeatable {
                return Err(error);
            }
            reuse = Reuse::Refused;
            attempt += 1;
        }
    }

    /// An idle connection with the request begun on it: the usual case, without waiting.
    fn connect_at_once(&self, upstream: &Upstream, reuse: Reuse) -> Option<Origin> {
        if reuse == Reuse::Refused || upstream.protocol_for(&self.head) == Protocol::Http2 {
            return None;
        }
        let mut origin = upstream.take_idle(self.started)?;
        origin.begin(&self.head, upstream.host());
        Some(Origin::H1(origin))
    }

    /// A fresh connection, or a fresh stream, with the request begun on it.
    async fn connect(
        &mut self,
        upstream: &Upstream,
        patience: ConnectPatience,
        deadlines: &Deadlines,
    ) -> Result<Origin, ForwardError> {
        if upstream.protocol_for(&self.head) == Protocol::Http2
            && let Some(origin) = self.connect_http2(upstream, patience, deadlines).await?
        {
            return Ok(origin);
        }
        let (connection, took) = self.wait_for(deadlines, upstream.dial(patience)).await?;
        self.report.connect = Some(took);
        let mut origin = Box::new(H1Origin::new(connection));
        origin.begin(&self.head, upstream.host());
        Ok(Origin::H1(origin))
    }

    /// A stream, or `None` when the upstream turns out to support only HTTP/1.
    async fn connect_http2(
        &mut self,
        upstream: &Upstream,
        patience: ConnectPatience,
        deadlines: &Deadlines,
    ) -> Result<Option<Origin>, ForwardError> {
        let request = http2_request(&self.head, upstream.host())?;
        let (sender, took) = self.wait_for(deadlines, upstream.sender(patience)).await?;
        self.report.connect = took.or(self.report.connect);
        let Some(mut sender) = sender else { return Ok(None) };
        let (ended, left) = match self.head.body {
            BodyLength::Empty => (Ended::Yes, None),
            BodyLength::Known(0) => (Ended::Yes, Some(0)),
            BodyLength::Known(length) => (Ended::No, Some(length)),
            BodyLength::Unknown => (Ended::No, None),
        };
        let mut charge = Charge::on(sender.watch.account());
        charge
            .add(UPSTREAM_STREAM_BYTES + memory::fields_bytes(&self.head.headers))
            .map_err(ForwardError::refused)?;
        let (response, stream) = sender
            .requests
            .send_request(request, ended == Ended::Yes)
            .map_err(|error| ForwardError::Http2(error.into()))?;
        let held = Held {
            _charge: charge,
            _entry: sender.watch.open(stream.stream_id().as_u32()),
            _counted: sender.streams,
        };
        let account = sender.watch.account().clone();
        let sending = Outgoing::new(stream, left, ended, account, None);
        Ok(Some(Origin::H2(Box::new(H2Origin::new(sending, response, held)))))
    }

    /// Runs `future` while the client is connected and the limits allow.
    async fn wait_for<T>(
        &mut self,
        deadlines: &Deadlines,
        future: impl Future<Output = Result<T, ForwardError>>,
    ) -> Result<T, ForwardError> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if self.client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(ForwardError::ClientGone));
            }
            let expired = self.timer.poll_deadlines(cx, deadlines);
            expired.map(|timeout| Err(ForwardError::TimedOut(timeout)))
        })
        .await
    }

    async fn run(
        &mut self,
        origin: &mut Origin,
        deadlines: &mut Deadlines,
        guard: &mut (dyn Release + Send),
    ) -> (Result<PumpEnd, ForwardError>, Progress) {
        let mut pump = Pump::new(self, origin, deadlines, guard);
        let outcome = poll_fn(|cx| pump.poll(cx)).await;
        (outcome, pump.progress())
    }

    /// After both messages have ended: keeps the connection for another exchange, or turns it into
    /// a tunnel.
    async fn conclude(
        &mut self,
        upstream: &Upstream,
        origin: Origin,
        ending: PumpEnd,
        deadlines: &mut Deadlines,
        guard: &mut (dyn Release + Send),
    ) -> Result<(), ForwardError> {
        match (ending, origin) {
            (PumpEnd::Complete, Origin::H1(origin)) => {
                if origin.is_reusable() {
                    upstream.put_back(origin, self.started);
                }
                Ok(())
            }
            (PumpEnd::Complete, Origin::H2(_)) => Ok(()),
            (PumpEnd::Tunnel, Origin::H1(origin)) => {
                let mut tunnel = Box::new(Tunnel::new(self, *origin, deadlines, guard));
                let outcome = poll_fn(|cx| tunnel.poll(cx)).await;
                let connection = tunnel.into_origin();
                // When it was the app that closed, the tunnel has released the guard already.
                Abandoned::tunnel(connection).spawn_holding(guard);
                outcome
            }
            (PumpEnd::Tunnel, Origin::H2(_)) => Err(ForwardError::Closed),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    Allowed,
    Refused,
}
