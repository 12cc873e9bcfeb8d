//! One request at two upstreams: the second is asked when the first takes long, and whoever begins
//! to respond first serves the client.
//!
//! Only the wait for the first byte is raced. From then on it is an exchange like any other, with
//! the same rules for what fails. The other upstream may be at work: its connection is closed, or
//! kept with its guard until it is done, as that of a client which has gone.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::Exchange;
use super::abandoned::Abandoned;
use super::client::Client;
use super::forward::Forward;
use super::guard::{Guard, Release};
use super::origin::{H1Origin, Origin};
use super::pump::{Progress, Upload};
use crate::error::ForwardError;
use crate::h1::Connection;
use crate::head::{BodyLength, RequestHead};
use crate::memory::Charge;
use crate::timer::{Deadlines, LazyTimer};
use crate::upstream::{ConnectPatience, Protocol, Upstream};

/// The second upstream of a request.
#[derive(Debug)]
pub struct Second<U, G> {
    /// The upstream.
    pub upstream: U,
    /// How long it may take to accept a connection.
    pub connect: ConnectPatience,
    /// What the request was admitted with there.
    pub guard: G,
    /// A field that the request has there in place of the first upstream's; without a value it has
    /// none of that name.
    pub field: (HeaderName, Option<HeaderValue>),
}

/// How an exchange with one upstream or two has ended.
#[derive(Debug)]
pub struct Hedged<U> {
    /// How it ended with the one that served it, or with the first if none did.
    pub outcome: Result<(), ForwardError>,
    /// The second upstream, where it was asked, and what came of it.
    pub second: Option<(U, SecondEnd)>,
    /// From when the request was sent until a response began, where one did while it was raced.
    pub answered_after: Option<Duration>,
}

/// What came of a second upstream.
#[derive(Debug)]
pub enum SecondEnd {
    /// It began to respond first, and the outcome is its own. Where the first failed before, this
    /// is how.
    Served(Option<ForwardError>),
    /// The first began to respond before.
    TooLate,
    /// It failed while the first had not begun to respond.
    Failed(ForwardError),
}

/// A request on its way to one upstream.
struct Lane<'a> {
    upstream: &'a Upstream,
    patience: ConnectPatience,
    state: State<'a>,
    /// How long the connection took to make, where one was made.
    connected_in: Option<Duration>,
}

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Connection, Duration), ForwardError>> + Send + 'a>>;

enum State<'a> {
    Connecting(Connecting<'a>),
    Sent(Box<H1Origin>),
    Failed(ForwardError),
}

impl<'a> Lane<'a> {
    fn begin(
        upstream: &'a Upstream,
        patience: ConnectPatience,
        (head, now): (&RequestHead, Instant),
    ) -> Self {
        let state = match upstream.take_idle(now) {
            Some(mut origin) => {
                origin.begin(head, upstream.host());
                State::Sent(origin)
            }
            None => State::Connecting(Box::pin(upstream.dial(patience))),
        };
        Self { upstream, patience, state, connected_in: None }
    }

    fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Ready when the upstream has begun to respond, or has failed.
    fn poll(&mut self, cx: &mut Context<'_>, head: &RequestHead) -> Poll<()> {
        loop {
            match &mut self.state {
                State::Failed(_) => return Poll::Ready(()),
                State::Connecting(connecting) => {
                    self.state = match ready!(connecting.as_mut().poll(cx)) {
                        Ok((connection, took)) => {
                            self.connected_in = Some(took);
                            let mut origin = Box::new(H1Origin::new(connection));
                            origin.begin(head, self.upstream.host());
                            State::Sent(origin)
                        }
                        Err(error) => State::Failed(error),
                    };
                }
                State::Sent(origin) => {
                    let Err(error) = ready!(origin.poll_answered(cx)) else {
                        return Poll::Ready(());
                    };
                    // As for a request that is sent to one upstream alone: an idle connection may
                    // have been closed just when it was used.
                    let is_harmless = !origin.connection.touched || head.is_replayable();
                    self.state = match origin.is_stale() && is_harmless {
                        true => State::Connecting(Box::pin(self.upstream.dial(self.patience))),
                        false => State::Failed(error),
                    };
                }
            }
        }
    }

    /// The request is not needed there any more.
    fn give_up(self, guard: &mut (dyn Release + Send)) {
        if let State::Sent(origin) = self.state {
            let upload = match origin.connection.has_output() {
                true => Upload::Flushing,
                false => Upload::Done,
            };
            let progress = Progress { upload, response_begun: false };
            Abandoned::new(Origin::H1(origin), progress, Charge::default()).spawn_holding(guard);
        }
        guard.release();
    }
}

/// What ends a race for both.
fn poll_interrupted(
    cx: &mut Context<'_>,
    (client, timer): (&mut Client, &mut LazyTimer),
    deadlines: &Deadlines,
) -> Poll<ForwardError> {
    if client.poll_gone(cx).is_ready() {
        return Poll::Ready(ForwardError::ClientGone);
    }
    timer.poll_deadlines(cx, deadlines).map(ForwardError::TimedOut)
}

impl Exchange {
    /// Like [`Exchange::forward`], and asks a second upstream as well when `second` resolves before
    /// the first has begun to respond. That may wait for a time to pass, and for room there; where
    /// no second upstream is to be asked it never resolves.
    ///
    /// Requests with a body, upgrades, and upstreams that are spoken to over HTTP/2 have one
    /// upstream alone. Whether a request may be sent twice is for the caller to know.
    ///
    /// Not cancel safe: an exchange that is dropped half way is cut short.
    pub async fn forward_hedged<U, G, F>(
        &mut self,
        upstream: &Upstream,
        forward: Forward<G>,
        second: F,
    ) -> Hedged<U>
    where
        U: AsRef<Upstream> + Send,
        G: Guard,
        F: Future<Output = Second<U, G>> + Send,
    {
        if !self.may_race(upstream) {
            let outcome = self.forward(upstream, forward).await;
            return Hedged { outcome, second: None, answered_after: None };
        }
        let (patience, mut guard) = (forward.connect, Some(forward.guard));
        let mut deadlines = Deadlines::new(self.started, forward.limits);
        // What waited for an upstream was not idle.
        deadlines.touch();
        self.report.connect = None;
        let began = Instant::now();
        let mut first = Lane::begin(upstream, patience, (&self.head, began));
        let other = match self.race_alone(&mut first, second, &deadlines).await {
            Ended::Interrupted(error) => {
                first.give_up(&mut guard);
                let outcome = self.ended(Err(error), &mut guard);
                return Hedged { outcome, second: None, answered_after: None };
            }
            Ended::Joined(other) if self.may_race(other.upstream.as_ref()) => other,
            Ended::Joined(Second { guard: unused, .. }) => {
                drop(unused);
                // Nobody else joins: the second is known, and of no use.
                let never = std::future::pending::<Second<U, G>>();
                let ended = self.race_alone(&mut first, never, &deadlines).await;
                return self.conclude_alone(ended, first, (guard, deadlines), began).await;
            }
            ended @ Ended::Settled => {
                return self.conclude_alone(ended, first, (guard, deadlines), began).await;
            }
        };
        self.race_both(first, other, (guard, deadlines), began).await
    }

    /// Whether the wait for a response can be raced: nothing but the head is to be sent, and the
    /// connection is one of HTTP/1.
    fn may_race(&self, upstream: &Upstream) -> bool {
        matches!(self.head.body, BodyLength::Empty | BodyLength::Known(0))
            && self.head.upgrade.is_none()
            && !self.head.expect_continue
            && upstream.protocol_for(&self.head) == Protocol::Http1
    }

    /// Until the first upstream has begun to respond or has failed, or a second is to be asked.
    async fn race_alone<U, G>(
        &mut self,
        first: &mut Lane<'_>,
        second: impl Future<Output = Second<U, G>>,
        deadlines: &Deadlines,
    ) -> Ended<U, G> {
        let mut second = pin!(second);
        let Exchange { head, client, timer, .. } = self;
        poll_fn(|cx| {
            if first.poll(cx, head).is_ready() {
                return Poll::Ready(Ended::Settled);
            }
            if let Poll::Ready(error) = poll_interrupted(cx, (client, timer), deadlines) {
                return Poll::Ready(Ended::Interrupted(error));
            }
            second.as_mut().poll(cx).map(Ended::Joined)
        })
        .await
    }

    /// From when the first upstream alone has begun to respond, or has failed.
    async fn conclude_alone<U, G: Guard>(
        &mut self,
        ended: Ended<U, G>,
        first: Lane<'_>,
        (mut guard, mut deadlines): (Option<G>, Deadlines),
        began: Instant,
    ) -> Hedged<U> {
        if let Ended::Interrupted(error) = ended {
            first.give_up(&mut guard);
            let outcome = self.ended(Err(error), &mut guard);
            return Hedged { outcome, second: None, answered_after: None };
        }
        let answered_after = (!first.has_failed()).then(|| began.elapsed());
        let outcome = self.go_on(first, &mut deadlines, &mut guard).await;
        Hedged { outcome, second: None, answered_after }
    }

    /// Until one of two has begun to respond, and then with that one.
    async fn race_both<U, G>(
        &mut self,
        mut first: Lane<'_>,
        other: Second<U, G>,
        (mut guard, mut deadlines): (Option<G>, Deadlines),
        began: Instant,
    ) -> Hedged<U>
    where
        U: AsRef<Upstream> + Send,
        G: Guard,
    {
        let Second { upstream, connect, guard: second_guard, field } = other;
        let mut second_guard = Some(second_guard);
        let mut second_head = self.head.clone();
        replace_field(&mut second_head, &field);
        let begin = (&second_head, Instant::now());
        let mut second = Lane::begin(upstream.as_ref(), connect, begin);
        let settled = {
            let Exchange { head, client, timer, .. } = &mut *self;
            poll_fn(|cx| {
                if first.poll(cx, head).is_ready() {
                    if !first.has_failed() {
                        return Poll::Ready(Ok(Served::First));
                    }
                    guard.release();
                }
                if second.poll(cx, &second_head).is_ready() {
                    if !second.has_failed() {
                        return Poll::Ready(Ok(Served::Second));
                    }
                    second_guard.release();
                    if first.has_failed() {
                        return Poll::Ready(Ok(Served::First));
                    }
                }
                poll_interrupted(cx, (client, timer), &deadlines).map(Err)
            })
            .await
        };
        let answered_after = settled.is_ok().then(|| began.elapsed());
        let served = match settled {
            Ok(served) => served,
            Err(error) => {
                first.give_up(&mut guard);
                second.give_up(&mut second_guard);
                let outcome = self.ended(Err(error), &mut guard);
                let second = Some((upstream, SecondEnd::TooLate));
                return Hedged { outcome, second, answered_after };
            }
        };
        let (outcome, end) = match served {
            Served::First => {
                let end = match second.take_failure() {
                    Some(error) => SecondEnd::Failed(error),
                    None => SecondEnd::TooLate,
                };
                second.give_up(&mut second_guard);
                (self.go_on(first, &mut deadlines, &mut guard).await, end)
            }
            Served::Second => {
                let failed = first.take_failure();
                first.give_up(&mut guard);
                replace_field(&mut self.head, &field);
                let outcome = self.go_on(second, &mut deadlines, &mut second_guard).await;
                (outcome, SecondEnd::Served(failed))
            }
        };
        Hedged { outcome, second: Some((upstream, end)), answered_after }
    }

    /// Goes on as an exchange with one upstream, which has begun to respond or has failed.
    async fn go_on<G: Guard>(
        &mut self,
        lane: Lane<'_>,
        deadlines: &mut Deadlines,
        guard: &mut Option<G>,
    ) -> Result<(), ForwardError> {
        self.report.connect = lane.connected_in;
        let (upstream, patience) = (lane.upstream, lane.patience);
        let outcome = match lane.state {
            State::Sent(origin) => {
                let begun = Some(Origin::H1(origin));
                self.attempts(upstream, (patience, begun), deadlines, guard).await
            }
            State::Failed(error) => Err(error),
            State::Connecting(_) => Err(ForwardError::Closed),
        };
        self.ended(outcome, guard)
    }
}

impl Lane<'_> {
    /// How it failed, if it has.
    fn take_failure(&mut self) -> Option<ForwardError> {
        match std::mem::replace(&mut self.state, State::Failed(ForwardError::Closed)) {
            State::Failed(error) => Some(error),
            state => {
                self.state = state;
                None
            }
        }
    }
}

/// How the wait for the first upstream alone ended.
enum Ended<U, G> {
    /// It has begun to respond, or has failed.
    Settled,
    /// A second is to be asked.
    Joined(Second<U, G>),
    /// The client has gone, or its time is up.
    Interrupted(ForwardError),
}

/// Who goes on.
#[derive(Debug, Clone, Copy)]
enum Served {
    First,
    Second,
}

fn replace_field(head: &mut RequestHead, (name, value): &(HeaderName, Option<HeaderValue>)) {
    match value {
        Some(value) => drop(head.headers.insert(name.clone(), value.clone())),
        None => drop(head.headers.remove(name)),
    }
}
