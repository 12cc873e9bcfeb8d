//! The relay's own responses.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::{Exchange, ResponseState};
use crate::error::{ForwardError, Interrupted};
use crate::head::{BodyLength, Reply, ResponseHead};

/// How many bytes of an unread request body are discarded so that the connection can be kept (Go's
/// limit).
pub(crate) const LEFTOVER_MAX: u64 = 256 * 1024;

impl Exchange {
    /// Responds to the request. Does nothing when a response was sent already.
    ///
    /// # Errors
    ///
    /// When the client has gone. There is nothing left to do then.
    ///
    /// Not cancel safe: a response that is dropped half written is cut short.
    pub async fn respond(&mut self, reply: Reply) -> Result<(), Interrupted> {
        match self.response {
            ResponseState::NotBegun => {}
            ResponseState::ClientGone => return Err(Interrupted::ClientGone),
            ResponseState::Begun | ResponseState::Complete | ResponseState::Aborted => {
                return Ok(());
            }
        }
        self.response = ResponseState::Begun;
        self.report.status = Some(reply.status);
        if self.leaves_body_unread() {
            self.client.forbid_reuse();
        }
        let length = reply.body.len() as u64;
        let head = ResponseHead {
            status: reply.status,
            headers: reply.headers,
            odd: Vec::new(),
            body: BodyLength::Known(length),
            declared_length: Some(length),
            upgrade: None,
            trailer: None,
        };
        let written = match self.client.send_head(head) {
            Ok(()) => {
                let mut body = &reply.body[..];
                poll_fn(|cx| self.poll_reply(cx, &mut body)).await
            }
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => {
                self.response = ResponseState::Complete;
                self.report.response_bytes = length;
                Ok(())
            }
            Err(_) => {
                self.abort();
                Err(Interrupted::ClientGone)
            }
        }
    }

    /// More of the request is outstanding than is worth reading only to discard it, or it is
    /// unknown whether it will be sent at all.
    fn leaves_body_unread(&self) -> bool {
        let long = matches!(self.head.body, BodyLength::Known(length) if length > LEFTOVER_MAX);
        !self.client.request_is_read() && (long || self.head.expect_continue)
    }

    fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut &[u8],
    ) -> Poll<Result<(), ForwardError>> {
        while !body.is_empty() {
            let count = ready!(self.client.poll_write_data(cx, body))?;
            *body = &body[count..];
        }
        self.client.finish(None)?;
        self.client.poll_flush(cx)
    }

    /// Cuts the response short in a way that the client cannot take for its end.
    pub(crate) fn abort(&mut self) {
        self.response = ResponseState::Aborted;
        self.client.abort();
    }
}
