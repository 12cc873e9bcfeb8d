//! A response that goes on while the request does, both read and written by the handler: how a
//! service of the proxy's own talks over a stream.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use http::HeaderMap;

use super::{Exchange, ResponseState};
use crate::error::Interrupted;
use crate::head::{BodyLength, Reply, ResponseHead};

/// Both directions of an exchange whose handler is the other end. Dropping it without
/// [`Conversation::end`] cuts the response short, visibly.
pub struct Conversation<'a> {
    exchange: &'a mut Exchange,
}

impl Exchange {
    /// Begins a response with the status and fields of `reply` and, instead of its body, what is
    /// written afterwards. No time limit holds for it.
    ///
    /// # Errors
    ///
    /// When the client has gone, or has got a response already.
    pub fn converse(&mut self, reply: Reply) -> Result<Conversation<'_>, Interrupted> {
        if self.response != ResponseState::NotBegun {
            return Err(Interrupted::ClientGone);
        }
        let head = ResponseHead {
            status: reply.status,
            headers: reply.headers,
            odd: Vec::new(),
            body: BodyLength::Unknown,
            declared_length: None,
            upgrade: None,
            trailer: None,
        };
        self.report.status = Some(reply.status);
        self.response = ResponseState::Begun;
        if self.client.send_head(head).is_err() {
            self.abort();
            return Err(Interrupted::ClientGone);
        }
        Ok(Conversation { exchange: self })
    }
}

impl Conversation<'_> {
    /// Appends what the client has sent. Ready with false at the end of its message.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Vec<u8>,
    ) -> Poll<Result<bool, Interrupted>> {
        let client = &mut self.exchange.client;
        let more = ready!(client.poll_data(cx)).map_err(|_| Interrupted::ClientGone)?;
        if more {
            let data = client.data();
            let count = data.len();
            input.extend_from_slice(data);
            client.consume(count);
            self.exchange.report.request_bytes += count as u64;
        }
        Poll::Ready(Ok(more))
    }

    /// Sends what is in `output` and takes it away. Ready when all of it is on its way.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        output: &mut Vec<u8>,
    ) -> Poll<Result<(), Interrupted>> {
        let client = &mut self.exchange.client;
        while !output.is_empty() {
            let written = ready!(client.poll_write_data(cx, output));
            let count = written.map_err(|_| Interrupted::ClientGone)?;
            output.drain(..count);
            self.exchange.report.response_bytes += count as u64;
        }
        client.poll_flush(cx).map_err(|_| Interrupted::ClientGone)
    }

    /// Ends the response in order.
    ///
    /// # Errors
    ///
    /// When the client has gone.
    ///
    /// Not cancel safe: a response that is dropped before it is written is cut short.
    pub async fn end(self, trailers: Option<HeaderMap>) -> Result<(), Interrupted> {
        let client = &mut self.exchange.client;
        client.finish(trailers).map_err(|_| Interrupted::ClientGone)?;
        self.exchange.response = ResponseState::Complete;
        let flushed = poll_fn(|cx| self.exchange.client.poll_flush(cx)).await;
        flushed.map_err(|_| Interrupted::ClientGone)
    }
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        if self.exchange.response == ResponseState::Begun {
            self.exchange.abort();
        }
    }
}
