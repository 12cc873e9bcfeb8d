//! Carries the history to the controller, and connects again whenever the stream breaks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_proto::Message as _;
use tidegate_proto::stats::v1::report_request::Message as Outgoing;
use tidegate_proto::stats::v1::report_response::Message as Incoming;
use tidegate_proto::stats::v1::stats_service_client::StatsServiceClient;
use tidegate_proto::stats::v1::{
    Hello, History, KnownInstances, ReportRequest, ReportResponse, Stat,
};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::attempts::{Attempts, Failed, Loss, LossKind};
use crate::history::StatHistory;
use crate::inbox::{Channels, Link};
use crate::{Backoff, Config, clock, lock, transport};

/// Longest wait for room for what was remembered.
const ROOM_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for the first directive, which says how much history is wanted.
const DIRECTIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait at the end for the controller to take what is left.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// Messages between the driver and the connection. Few: the history is the queue.
const OUTBOX: usize = 4;

/// Stats in one history message.
const HISTORY_BATCH: usize = 500;

/// Revisions in one message about known instances. With the longest names it has half of
/// [`MESSAGE_BYTES_MAX`].
const KNOWN_BATCH: usize = 100;

/// Bytes of one message at most, half of what a controller reads: a history is sent in as many as
/// it takes, and a single stat beyond it is left out.
const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// Carries what a [`Reporter`](crate::Reporter) remembers; made by [`start`](crate::start).
#[derive(Debug)]
pub struct Driver {
    carrier: SessionLoop,
    woken: mpsc::Receiver<()>,
    random: u64,
}

/// What a stream is built from and where its messages go.
#[derive(Debug)]
struct SessionLoop {
    config: Config,
    history: Arc<Mutex<StatHistory>>,
    channels: Channels,
}

/// How a stream ended.
enum End {
    /// It broke, or never began.
    Lost(Loss),
    /// Every reporter is gone and everything is sent.
    Finished,
}

/// An open stream and how far along the history it is.
struct Session {
    outbox: mpsc::Sender<ReportRequest>,
    inbound: Streaming<ReportResponse>,
    /// The next sequence number to send.
    next: u64,
}

impl Driver {
    pub(crate) fn new(
        config: Config,
        history: Arc<Mutex<StatHistory>>,
        woken: mpsc::Receiver<()>,
        channels: Channels,
    ) -> Self {
        Self {
            carrier: SessionLoop { config, history, channels },
            woken,
            random: Backoff::random(),
        }
    }

    /// What it rings whenever something has come from the controller.
    pub(crate) fn rings(&mut self, news: &Arc<Notify>) {
        self.carrier.channels.news = Arc::clone(news);
    }

    /// Runs until the last reporter is dropped and what it left is sent, or no controller takes it
    /// within half a second. Cancel safe: dropping it closes the stream and forgets nothing of the
    /// history.
    pub async fn run(self) {
        let Self { carrier, mut woken, mut random } = self;
        let mut attempts = Attempts::default();
        let metrics = carrier.config.metrics.clone();
        let mut round = Round::over(&carrier.config.controllers);
        loop {
            let target = round.target();
            let controller = target.authority();
            let opened = tokio::select! {
                opened = carrier.open(target, attempts.patience()) => opened,
                () = farewell(&mut woken) => return,
            };
            let loss = match opened {
                Ok(mut session) => {
                    if let Some(news) = attempts.connected() {
                        tracing::info!(controller, "{news}");
                    }
                    round.tried = 0;
                    carrier.channels.link(Link::Up);
                    metrics.connected.increment(1);
                    metrics.streams.increment(1);
                    let opened = Instant::now();
                    let end = carrier.run_session(&mut session, &mut woken).await;
                    carrier.channels.link(Link::Down);
                    metrics.connected.decrement(1);
                    match end {
                        End::Finished => return session.close().await,
                        End::Lost(loss) => {
                            attempts.was_open(&carrier.config.backoff, opened.elapsed());
                            loss
                        }
                    }
                }
                Err(loss) => loss,
            };
            let is_round = round.next();
            match loss.kind() {
                LossKind::Gone => metrics.gone.increment(1),
                LossKind::Mismatch => metrics.mismatched.increment(1),
                LossKind::Refused => metrics.refused.increment(1),
            }
            if !is_round {
                // The next one may be there, so nothing has failed yet.
                continue;
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let backoff = &carrier.config.backoff;
            let Failed { wait, tell } =
                attempts.failed(backoff, &loss, Instant::now(), random >> 32);
            if let Some(why) = tell {
                tracing::warn!(controller, "{why}; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = farewell(&mut woken) => return,
            }
        }
    }
}

/// The addresses that a controller may be at, one after the other: what was there stays the first
/// to be tried.
struct Round<'a> {
    targets: &'a [transport::Target],
    at: usize,
    /// Attempts of this round.
    tried: usize,
}

impl<'a> Round<'a> {
    fn over(targets: &'a [transport::Target]) -> Self {
        Self { targets, at: 0, tried: 0 }
    }

    fn target(&self) -> &'a transport::Target {
        &self.targets[self.at]
    }

    /// There is no stream to this one, or none any more. Gives whether all have been tried.
    fn next(&mut self) -> bool {
        self.at = (self.at + 1) % self.targets.len();
        self.tried += 1;
        let is_round = self.tried >= self.targets.len();
        if is_round {
            self.tried = 0;
        }
        is_round
    }
}

/// Resolves half a second after the last reporter is gone. Wake-ups on the way are not lost: a new
/// stream begins with everything that is remembered.
async fn farewell(woken: &mut mpsc::Receiver<()>) {
    while woken.recv().await.is_some() {}
    tokio::time::sleep(FAREWELL_TIMEOUT).await;
}

impl SessionLoop {
    /// Connects, sends its hello, learns how much history is wanted and sends it.
    async fn open(
        &self,
        controller: &transport::Target,
        patience: Duration,
    ) -> Result<Session, Loss> {
        let late = |_| Loss::Silent;
        let connecting = timeout(patience, transport::connect(controller)).await;
        let connection = connecting.map_err(|_| match controller.looking_up() {
            Some(pending) => Loss::LookingUp(pending),
            None => Loss::Silent,
        })??;
        let origin = controller.origin();
        let mut client = StatsServiceClient::with_origin(connection, origin);
        let (outbox, requests) = mpsc::channel(OUTBOX);
        let now_unix_ms = clock::now_unix_ms();
        let hello = request(Outgoing::Hello(Hello { now_unix_ms, ..self.config.hello.clone() }));
        // The outbox is empty and its reader is in our hands: there is room.
        outbox.try_send(hello).map_err(|_| Loss::Stalled)?;
        let opening = client.report(ReceiverStream::new(requests));
        let mut inbound = timeout(patience, opening).await.map_err(late)??.into_inner();
        if let Ok(first) = timeout(DIRECTIVE_TIMEOUT, inbound.message()).await {
            self.receive(first?.ok_or(Loss::HungUp)?);
        }
        let mut session = Session { outbox, inbound, next: 0 };
        self.send_known(&mut session).await?;
        self.send_history(&mut session).await?;
        Ok(session)
    }

    /// Tells how many instances are known, of revisions with some. Only activators know any.
    async fn send_known(&self, session: &mut Session) -> Result<(), Loss> {
        let known = self.channels.known_instances();
        for batch in known.chunks(KNOWN_BATCH) {
            let known = KnownInstances { revisions: batch.to_vec() };
            self.send(session, Outgoing::KnownInstances(known)).await?;
        }
        Ok(())
    }

    async fn send(&self, session: &mut Session, message: Outgoing) -> Result<(), Loss> {
        match timeout(ROOM_TIMEOUT, session.outbox.send(request(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(why_lost(&mut session.inbound).await),
        }
    }

    async fn send_history(&self, session: &mut Session) -> Result<(), Loss> {
        loop {
            let stats = lock(&self.history).batch(session.next, HISTORY_BATCH);
            let Some(first) = stats.first().map(|stat| stat.sequence) else { return Ok(()) };
            let stats = fitting(stats);
            session.next = stats.last().map_or(first, |last| last.sequence) + 1;
            lock(&self.history).sent(session.next - 1);
            if stats.is_empty() {
                self.config.metrics.too_large.increment(1);
                continue;
            }
            self.send(session, Outgoing::History(History { stats })).await?;
        }
    }

    async fn run_session(&self, session: &mut Session, woken: &mut mpsc::Receiver<()>) -> End {
        loop {
            let behind = lock(&self.history).at_or_after(session.next).is_some();
            tokio::select! {
                received = session.inbound.message() => match received {
                    Ok(Some(message)) => self.receive(message),
                    Ok(None) => return End::Lost(Loss::Ended),
                    Err(status) => return End::Lost(status.into()),
                },
                permit = session.outbox.reserve(), if behind => {
                    let Ok(permit) = permit else {
                        return End::Lost(why_lost(&mut session.inbound).await);
                    };
                    let Some(stat) = lock(&self.history).at_or_after(session.next).cloned() else {
                        continue;
                    };
                    session.next = stat.sequence + 1;
                    lock(&self.history).sent(stat.sequence);
                    match fits(&stat) {
                        true => permit.send(request(Outgoing::Stat(stat))),
                        false => self.config.metrics.too_large.increment(1),
                    }
                }
                woken = woken.recv(), if !behind => if woken.is_none() {
                    return End::Finished;
                },
            }
        }
    }

    fn receive(&self, message: ReportResponse) {
        match message.message {
            Some(Incoming::Ack(ack)) => {
                lock(&self.history).acknowledge(ack.sequence);
                return;
            }
            Some(Incoming::Directive(directive)) => {
                if directive.history_seconds > 0 {
                    lock(&self.history).keep_seconds(directive.history_seconds);
                }
                self.channels.directive(directive);
            }
            Some(Incoming::Endpoints(endpoints)) => {
                self.channels.endpoints(endpoints, Instant::now());
            }
            Some(Incoming::ListenPorts(ports)) => self.channels.ports(ports),
            Some(Incoming::Overflow(overflow)) => self.channels.overflow(overflow),
            Some(Incoming::HoldBounds(bounds)) => self.channels.holds(bounds),
            Some(Incoming::QueueRules(rules)) => self.channels.queue_rules(rules),
            Some(Incoming::Routes(routes)) => self.channels.routes(routes),
            Some(Incoming::Undeclared(revision)) => self.channels.forget(&revision.into()),
            // A newer controller may send what this version does not know.
            None => {}
        }
        self.channels.news.notify_one();
    }
}

/// The longest beginning of `stats` that one message may carry. What is too large by itself is
/// left out; it then ends the beginning, if there is one.
fn fitting(mut stats: Vec<Stat>) -> Vec<Stat> {
    let mut room = MESSAGE_BYTES_MAX;
    let taken = stats.iter().take_while(|stat| {
        let rest = room.checked_sub(bytes(stat));
        room = rest.unwrap_or(0);
        rest.is_some()
    });
    let taken = taken.count();
    stats.truncate(taken);
    stats
}

fn fits(stat: &Stat) -> bool {
    bytes(stat) <= MESSAGE_BYTES_MAX
}

/// Bytes of a stat within a message: its own, its tag and its length.
fn bytes(stat: &Stat) -> usize {
    const FRAMING: usize = 8;
    stat.encoded_len() + FRAMING
}

/// Why the stream takes no more: the status the controller ended it with, if any.
async fn why_lost(inbound: &mut Streaming<ReportResponse>) -> Loss {
    let responses = async {
        loop {
            match inbound.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Loss::Ended,
                Err(status) => return status.into(),
            }
        }
    };
    timeout(FAREWELL_TIMEOUT, responses).await.unwrap_or(Loss::Stalled)
}

impl Session {
    /// Closing our half tells the controller that no more follows; the controller then closes its
    /// own.
    async fn close(self) {
        let Self { outbox, mut inbound, .. } = self;
        drop(outbox);
        let responses = async { while let Ok(Some(_)) = inbound.message().await {} };
        let _ = timeout(FAREWELL_TIMEOUT, responses).await;
    }
}

fn request(message: Outgoing) -> ReportRequest {
    ReportRequest { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(digest_bytes: usize) -> Stat {
        Stat { latency_digest: vec![0; digest_bytes], ..Stat::default() }
    }

    #[test]
    fn messages_are_bounded_in_bytes() {
        let half = MESSAGE_BYTES_MAX / 2 - 64;
        assert_eq!(fitting(vec![stat(half), stat(half), stat(half)]).len(), 2);
        assert_eq!(fitting(vec![stat(0); HISTORY_BATCH]).len(), HISTORY_BATCH);
        assert!(fitting(vec![stat(MESSAGE_BYTES_MAX), stat(0)]).is_empty());
        assert!(!fits(&stat(MESSAGE_BYTES_MAX)) && fits(&stat(half)));
    }
}
