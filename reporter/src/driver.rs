//! Carries the ring to the controller, and connects again whenever the stream breaks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_proto::stats::v1::report_request::Message as Say;
use tidegate_proto::stats::v1::report_response::Message as Hear;
use tidegate_proto::stats::v1::{History, ReportRequest, ReportResponse};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::inbox::{Link, Outlets};
use crate::ring::Ring;
use crate::{Backoff, Config, lock, transport};

/// Longest wait for a connection and for the answer that opens the stream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for the first directive, which says how much history is wanted.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait at the end for the controller to take what is left.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// Messages between the driver and the connection. Few: the ring is the queue.
const OUTBOX: usize = 4;

/// Stats in one history message, so that none comes near gRPC's limit of 4 MiB.
const HISTORY_BATCH: usize = 500;

/// Carries what a [`Reporter`](crate::Reporter) remembers; made by [`start`](crate::start).
#[derive(Debug)]
pub struct Driver {
    carrier: Carrier,
    woken: mpsc::Receiver<()>,
    random: u64,
}

/// What a stream is made of and where its words go.
#[derive(Debug)]
struct Carrier {
    config: Config,
    ring: Arc<Mutex<Ring>>,
    outlets: Outlets,
}

/// How a stream ended.
enum End {
    /// It broke, or never began.
    Lost,
    /// Every reporter is gone and everything is sent.
    Finished,
}

/// An open stream and how far along the ring it is.
struct Session {
    outbox: mpsc::Sender<ReportRequest>,
    inbound: Streaming<ReportResponse>,
    /// The next sequence number to send.
    next: u64,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        ring: Arc<Mutex<Ring>>,
        woken: mpsc::Receiver<()>,
        outlets: Outlets,
    ) -> Self {
        Self { carrier: Carrier { config, ring, outlets }, woken, random: Backoff::random() }
    }

    /// Runs until the last reporter is dropped and what it left is sent, or nobody takes it within
    /// half a second. Cancel safe: dropping it closes the stream and forgets nothing of the ring.
    pub async fn run(self) {
        let Self { carrier, mut woken, mut random } = self;
        let mut failures = 0;
        loop {
            let opened = tokio::select! {
                opened = carrier.open() => opened,
                () = farewell(&mut woken) => return,
            };
            if let Some(mut session) = opened {
                failures = 0;
                carrier.outlets.link(Link::Up);
                let end = carrier.converse(&mut session, &mut woken).await;
                carrier.outlets.link(Link::Down);
                if matches!(end, End::Finished) {
                    return session.say_goodbye().await;
                }
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let wait = carrier.config.backoff.wait(failures, random >> 32);
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = farewell(&mut woken) => return,
            }
        }
    }
}

/// Resolves half a second after the last reporter is gone. Wake-ups on the way are not lost: a new
/// stream begins with everything that is remembered.
async fn farewell(woken: &mut mpsc::Receiver<()>) {
    while woken.recv().await.is_some() {}
    tokio::time::sleep(FAREWELL_TIMEOUT).await;
}

impl Carrier {
    /// Connects, introduces itself, learns how much history is wanted and sends it.
    async fn open(&self) -> Option<Session> {
        let connecting = transport::connect(&self.config.controller);
        let mut client = timeout(CONNECT_TIMEOUT, connecting).await.ok()?.ok()?;
        let (outbox, requests) = mpsc::channel(OUTBOX);
        outbox.try_send(say(Say::Hello(self.config.hello.clone()))).ok()?;
        let opening = client.report(ReceiverStream::new(requests));
        let mut inbound = timeout(CONNECT_TIMEOUT, opening).await.ok()?.ok()?.into_inner();
        if let Ok(greeting) = timeout(GREETING_TIMEOUT, inbound.message()).await {
            self.hear(greeting.ok()??);
        }
        let mut session = Session { outbox, inbound, next: 0 };
        self.send_history(&mut session).await?;
        Some(session)
    }

    async fn send_history(&self, session: &mut Session) -> Option<()> {
        loop {
            let stats = lock(&self.ring).batch(session.next, HISTORY_BATCH);
            let Some(last) = stats.last() else { return Some(()) };
            session.next = last.sequence + 1;
            let message = say(Say::History(History { stats }));
            timeout(CONNECT_TIMEOUT, session.outbox.send(message)).await.ok()?.ok()?;
        }
    }

    async fn converse(&self, session: &mut Session, woken: &mut mpsc::Receiver<()>) -> End {
        loop {
            let behind = lock(&self.ring).at_or_after(session.next).is_some();
            tokio::select! {
                heard = session.inbound.message() => match heard {
                    Ok(Some(message)) => self.hear(message),
                    Ok(None) | Err(_) => return End::Lost,
                },
                permit = session.outbox.reserve(), if behind => {
                    let Ok(permit) = permit else { return End::Lost };
                    let Some(stat) = lock(&self.ring).at_or_after(session.next).cloned() else {
                        continue;
                    };
                    session.next = stat.sequence + 1;
                    permit.send(say(Say::Stat(stat)));
                }
                woken = woken.recv(), if !behind => if woken.is_none() {
                    return End::Finished;
                },
            }
        }
    }

    fn hear(&self, message: ReportResponse) {
        match message.message {
            Some(Hear::Ack(ack)) => lock(&self.ring).acknowledge(ack.sequence),
            Some(Hear::Directive(directive)) => {
                if directive.history_seconds > 0 {
                    lock(&self.ring).keep_seconds(directive.history_seconds);
                }
                self.outlets.directive(directive);
            }
            Some(Hear::Endpoints(endpoints)) => self.outlets.endpoints(endpoints),
            // A newer controller may say what this version does not know.
            None => {}
        }
    }
}

impl Session {
    /// Closing our half tells the controller that this was all; it answers by closing its own.
    async fn say_goodbye(self) {
        let Self { outbox, mut inbound, .. } = self;
        drop(outbox);
        let answers = async { while let Ok(Some(_)) = inbound.message().await {} };
        let _ = timeout(FAREWELL_TIMEOUT, answers).await;
    }
}

fn say(message: Say) -> ReportRequest {
    ReportRequest { message: Some(message) }
}
