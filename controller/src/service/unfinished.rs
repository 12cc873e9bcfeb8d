//! Bounds what unfinished messages hold: each in time, all of them together in bytes.
//!
//! The library keeps the bytes of a message until its last one has arrived, for each stream by
//! itself. A peer that opens many streams and finishes no message could make it keep all of them
//! for ever. A message that arrives in one piece passes untouched here; one that does not is
//! charged, at the length that it declares, to a budget that all streams of the process share,
//! until it is whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::stats::MESSAGE_BYTES_MAX;

/// The most bytes of the unfinished messages of all streams: 256 of the longest at a time, while a
/// history of ten minutes, the longest that reporters send of themselves, is a quarter of one.
pub(crate) const UNFINISHED_BYTES_MAX: usize = 256 * MESSAGE_BYTES_MAX;

/// How long a message may take from its first byte to its last, its wait for the budget included.
pub(crate) const MESSAGE_TIME_MAX: Duration = Duration::from_secs(10);

/// A flag and the length, in front of each message of gRPC.
const PREFIX_BYTES: usize = 5;

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct UnfinishedBytes(Arc<Semaphore>);

impl UnfinishedBytes {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// `body`, with what is unfinished in it charged to this budget.
    pub(crate) fn charge(&self, body: Body) -> Body {
        Body::new(Charged {
            body,
            budget: Arc::clone(&self.0),
            framing: Framing::default(),
            charge: None,
            waiting: None,
            deadline: None,
        })
    }
}

/// Where in the sequence of messages a stream is.
#[derive(Debug, Default)]
struct Framing {
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    /// What the present message declares, its prefix included.
    message_bytes: usize,
    /// Bytes of it that are still to come.
    left_bytes: usize,
    /// Messages that have begun.
    begun: u64,
}

impl Framing {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left_bytes > 0 {
                let taken = self.left_bytes.min(bytes.len());
                self.left_bytes -= taken;
                bytes = &bytes[taken..];
                continue;
            }
            if self.prefix_bytes == 0 {
                self.begun += 1;
            }
            self.prefix[self.prefix_bytes] = *first;
            self.prefix_bytes += 1;
            bytes = &bytes[1..];
            if self.prefix_bytes == PREFIX_BYTES {
                let [_, length @ ..] = self.prefix;
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.prefix_bytes = 0;
                self.left_bytes = length;
                self.message_bytes = length.saturating_add(PREFIX_BYTES);
            }
        }
    }

    fn is_between_messages(&self) -> bool {
        self.left_bytes == 0 && self.prefix_bytes == 0
    }

    /// What the unfinished message will take; nothing before its length is known.
    fn unfinished_bytes(&self) -> usize {
        match self.left_bytes {
            0 => 0,
            // The library refuses what is longer before it keeps any of it.
            _ => self.message_bytes.min(MESSAGE_BYTES_MAX + PREFIX_BYTES),
        }
    }
}

/// Permission to keep an unfinished message, as many permits as bytes.
struct Charge {
    /// Which message it is for.
    message: u64,
    /// Given back when this is dropped.
    _permit: OwnedSemaphorePermit,
}

/// A piece that may not be handed on before its message is charged.
struct Waiting {
    piece: Bytes,
    permit: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>,
}

struct Charged {
    body: Body,
    budget: Arc<Semaphore>,
    framing: Framing,
    charge: Option<Charge>,
    waiting: Option<Waiting>,
    /// When the unfinished message must be whole, and which one that is.
    deadline: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Charged {
    /// A message that was complete at the reader's last poll has been processed at the next one.
    fn give_back(&mut self) {
        if self.waiting.is_none() && self.framing.is_between_messages() {
            self.charge = None;
            self.deadline = None;
        }
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let Some((_, deadline)) = &mut self.deadline else { return Poll::Pending };
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Status::deadline_exceeded(format!(
            "a message was not whole within {} s: expected its {} bytes in that time",
            MESSAGE_TIME_MAX.as_secs(),
            self.framing.message_bytes
        )))
    }

    /// Takes a piece. It may be handed on at once unless it is kept in `waiting`.
    fn take(&mut self, piece: Bytes) -> Option<Bytes> {
        self.framing.feed(&piece);
        if self.framing.is_between_messages() {
            return Some(piece);
        }
        let message = self.framing.begun;
        if self.deadline.as_ref().is_none_or(|(timed, _)| *timed != message) {
            let at = Instant::now() + MESSAGE_TIME_MAX;
            self.deadline = Some((message, Box::pin(tokio::time::sleep_until(at))));
        }
        let bytes = self.framing.unfinished_bytes();
        if bytes == 0 || self.charge.as_ref().is_some_and(|charge| charge.message == message) {
            return Some(piece);
        }
        self.charge = None;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let budget = Arc::clone(&self.budget);
        // An error means that the budget was closed, which never happens.
        let permit = Box::pin(async move { budget.acquire_many_owned(permits).await.ok() });
        self.waiting = Some(Waiting { piece, permit });
        None
    }

    fn poll_waiting(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let permit = ready!(waiting.permit.as_mut().poll(context));
        self.charge = permit.map(|_permit| Charge { message: self.framing.begun, _permit });
        Poll::Ready(self.waiting.take().map(|waiting| waiting.piece))
    }
}

impl HttpBody for Charged {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.give_back();
        if let Poll::Ready(late) = self.poll_deadline(context) {
            return Poll::Ready(Some(Err(late)));
        }
        loop {
            if let Some(piece) = ready!(self.poll_waiting(context)) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            match frame.into_data() {
                Ok(piece) => {
                    if let Some(piece) = self.take(piece) {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.waiting.is_none() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::Waker;

    use proptest::prelude::*;

    use super::*;

    /// A body that yields the given bytes, and then nothing more for ever.
    struct Pieces(Mutex<Vec<Bytes>>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            match self.0.lock().unwrap().pop() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None => Poll::Pending,
            }
        }
    }

    fn message(bytes: usize) -> Vec<u8> {
        let mut message = vec![0; PREFIX_BYTES + bytes];
        message[1..PREFIX_BYTES].copy_from_slice(&u32::try_from(bytes).unwrap().to_be_bytes());
        message
    }

    fn body(budget: &UnfinishedBytes, pieces: &[&[u8]]) -> Body {
        let pieces = pieces.iter().rev().map(|piece| Bytes::copy_from_slice(piece)).collect();
        budget.charge(Body::new(Pieces(Mutex::new(pieces))))
    }

    /// The bytes of the next piece; `None` when there is none yet.
    fn next(body: &mut Body) -> Option<Result<usize, Status>> {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => Some(Ok(frame.into_data().unwrap().len())),
            Poll::Ready(Some(Err(status))) => Some(Err(status)),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn whole_messages_cost_nothing() {
        let budget = UnfinishedBytes::new(0);
        let two = [message(100), message(0)].concat();
        let mut body = body(&budget, &[&two, &message(7)]);
        assert_eq!(next(&mut body).unwrap().unwrap(), 110);
        assert_eq!(next(&mut body).unwrap().unwrap(), 12);
    }

    #[tokio::test]
    async fn an_unfinished_message_holds_its_length_until_the_reader_polls_again() {
        let budget = UnfinishedBytes::new(1_000);
        let whole = message(600);
        let mut first = body(&budget, &[&whole[..10], &whole[10..]]);
        let mut second = body(&budget, &[&whole[..10], &whole[10..]]);
        assert_eq!(next(&mut first).unwrap().unwrap(), 10);
        assert_eq!(budget.0.available_permits(), 395);
        assert!(next(&mut second).is_none(), "there is no room for a second one");
        assert_eq!(next(&mut first).unwrap().unwrap(), 595);
        assert!(next(&mut second).is_none(), "the reader may still have the first one");
        assert!(next(&mut first).is_none());
        assert_eq!(next(&mut second).unwrap().unwrap(), 10);
        drop(second);
        assert_eq!(budget.0.available_permits(), 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_whole_in_time_ends_its_stream() {
        let budget = UnfinishedBytes::new(700);
        let whole = message(600);
        let mut stalled = body(&budget, &[&whole[..10]]);
        let mut waiting = body(&budget, &[&whole[..10]]);
        let mut prefix = body(&budget, &[&whole[..3]]);
        assert!(next(&mut stalled).unwrap().is_ok());
        assert!(next(&mut waiting).is_none());
        assert!(next(&mut prefix).unwrap().is_ok());
        tokio::time::advance(MESSAGE_TIME_MAX).await;
        for body in [&mut stalled, &mut waiting, &mut prefix] {
            let late = next(body).unwrap().unwrap_err();
            assert_eq!(late.code(), tonic::Code::DeadlineExceeded, "{late}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(lengths in prop::collection::vec(0_usize..50, 0..10), cuts in
            prop::collection::vec(1_usize..40, 1..100), cut_off in 0_usize..60)
        {
            let mut bytes: Vec<u8> = lengths.iter().flat_map(|length| message(*length)).collect();
            bytes.truncate(bytes.len().saturating_sub(cut_off));
            let mut whole = Framing::default();
            whole.feed(&bytes);
            let mut pieces = Framing::default();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                pieces.feed(piece);
                rest = behind;
            }
            prop_assert_eq!(whole.is_between_messages(), pieces.is_between_messages());
            prop_assert_eq!(whole.unfinished_bytes(), pieces.unfinished_bytes());
            prop_assert_eq!(whole.begun, pieces.begun);
        }
    }
}
