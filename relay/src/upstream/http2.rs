//! HTTP/2 connections to an upstream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use h2::client::SendRequest;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{ConnectPatience, Protocol, Upstream};
use crate::error::ForwardError;
use crate::h2gate::pace::{FIRST_WINDOW, Window};
use crate::h2gate::{FrameGate, Limits, Opening, Peer, Watch};
use crate::h2io::{Piece, SEND_BUFFER_MAX};
use crate::memory::Charge;

/// How long an upstream may take to send its SETTINGS.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that an upstream may have in flight, per stream; and per connection once it has shown that
/// it needs them, and memory allows.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
const HEADER_LIST_MAX: u32 = 10 << 20;
/// The longest frame an upstream may send: the protocol's least.
const FRAME_MAX: u32 = 16_384;
/// Trailers up to this length are not charged: gRPC's carry a message and details.
const FREE_TRAILERS: usize = 2 * 1024;
/// More connections than this to one upstream would not make it faster.
const CONNECTIONS_MAX: usize = 64;
/// How long a stream without a connection waits for the one that another stream is making, where
/// its [`ConnectPatience`] sets no limit. Otherwise hundreds that begin at once would make hundreds
/// of connections, each with windows of its own. A connection that takes longer delays no stream
/// further.
const SHARED_DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that a connection beside the first may hold: its first window, with the buffers that the
/// frames arrived in, and the library's own.
const CONNECTION_BYTES: usize = 2 * FIRST_WINDOW as usize + 32 * 1024;

/// A connection on which streams can be opened.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) requests: SendRequest<Piece>,
    pub(crate) watch: Watch,
    /// Held once by the upstream and once by every open stream, so its count is theirs.
    pub(crate) streams: Arc<()>,
}

impl Sender {
    fn has_room(&self) -> bool {
        !self.watch.is_retired()
            && Arc::strong_count(&self.streams) <= self.requests.current_max_send_streams()
    }
}

impl Upstream {
    /// A sender that has room for one more stream, without waiting for anything.
    fn ready_sender(&self) -> Option<Sender> {
        let mut senders = self.http2.lock();
        let mut cx = Context::from_waker(Waker::noop());
        let mut found = None;
        senders.retain_mut(|sender| {
            let ready = sender.requests.poll_ready(&mut cx);
            if found.is_none() && matches!(ready, Poll::Ready(Ok(()))) && sender.has_room() {
                found = Some(sender.clone());
            }
            !matches!(ready, Poll::Ready(Err(_))) && !sender.watch.is_retired()
        });
        found
    }

    /// A sender that has room for one more stream, `None` when the upstream supports only HTTP/1;
    /// and how long its connection took to make, if it is a fresh one.
    pub(crate) async fn sender(
        &self,
        patience: ConnectPatience,
    ) -> Result<(Option<Sender>, Option<Duration>), ForwardError> {
        if let Some(sender) = self.ready_sender() {
            return Ok((Some(sender), None));
        }
        let longest = match patience {
            ConnectPatience::Growing => SHARED_DIAL_TIMEOUT,
            ConnectPatience::Once(limit) => limit,
        };
        let turn = timeout(longest, self.dialling_http2.lock()).await;
        if let Some(sender) = self.ready_sender() {
            return Ok((Some(sender), None));
        }
        if self.only_protocol() == Some(Protocol::Http1) {
            return Ok((None, None));
        }
        let is_first = turn.is_ok() && self.http2.lock().is_empty();
        let cost = if is_first { 0 } else { CONNECTION_BYTES };
        let (sender, took) = self.dial_http2(patience, cost).await?;
        Ok((sender, Some(took)))
    }

    /// A fresh connection that is charged `cost` bytes, `None` when the upstream supports only
    /// HTTP/1; and how long the connection took to make.
    async fn dial_http2(
        &self,
        patience: ConnectPatience,
        cost: usize,
    ) -> Result<(Option<Sender>, Duration), ForwardError> {
        let (io, took) = self.dial_io(patience).await?;
        let mut charge = Charge::default();
        charge.add(cost).map_err(ForwardError::refused)?;
        let (sender, verdict) = oneshot::channel();
        let limits = Limits {
            peer: Peer::Server,
            frame_max: FRAME_MAX as usize,
            block_max: HEADER_LIST_MAX as usize,
            list_max: HEADER_LIST_MAX as usize,
            free_trailers: FREE_TRAILERS,
        };
        let (gate, watch) = FrameGate::new(io, BytesMut::new(), limits);
        let failed = |error: h2::Error| ForwardError::Http2(error.into());
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(FIRST_WINDOW)
            .max_header_list_size(HEADER_LIST_MAX)
            .max_send_buffer_size(SEND_BUFFER_MAX)
            .max_frame_size(FRAME_MAX)
            .enable_push(false)
            .handshake(gate.notify_opening(sender))
            .await
            .map_err(failed)?;
        tokio::spawn(drive(connection, watch.clone(), charge));
        match timeout(SETTINGS_TIMEOUT, verdict).await {
            Ok(Ok(Opening::Settings)) => {
                let sender = Sender { requests, watch, streams: Arc::default() };
                let mut senders = self.http2.lock();
                if senders.len() < CONNECTIONS_MAX {
                    senders.push(sender.clone());
                }
                Ok((Some(sender), took))
            }
            Ok(_) | Err(_) => {
                self.learn(Protocol::Http1);
                Ok((None, took))
            }
        }
    }
}

/// Drives a connection until it ends, or has to. `charge` is for the memory that it may hold.
async fn drive(
    mut connection: h2::client::Connection<FrameGate, Piece>,
    watch: Watch,
    charge: Charge,
) {
    let mut window = Window::new(&watch, CONNECTION_WINDOW);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(ended.map_err(|error| error.to_string()));
        }
        if let Some(reason) = watch.stopped() {
            return Poll::Ready(Err(reason.to_string()));
        }
        let wider = window.widen(&watch);
        if let Some(size) = wider {
            connection.set_target_window_size(size);
        }
        if watch.next_turn() || wider.is_some() {
            // Polled again later, not in a loop: the streams take what has arrived before more is
            // read.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
    drop((connection, charge));
    if let Err(error) = ended {
        tracing::debug!(error, "connection to upstream ended");
    }
}
