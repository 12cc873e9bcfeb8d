//! A head that is withheld until it is complete.

use bytes::{Buf, BytesMut};
use h2::Reason;

use super::frame::{PRIORITY, PRIORITY_LEN};
use super::measure;
use crate::memory::Charge;

/// A head whose end has not arrived.
pub(super) struct Block {
    pub(super) stream: u32,
    /// Its flags, except those about how it is split into frames.
    pub(super) flags: u8,
    pub(super) bytes: BytesMut,
    pub(super) charge: Charge,
    /// Bytes of the current frame that are still to come.
    pub(super) left: usize,
    /// The current frame is the last.
    pub(super) ends: bool,
}

impl Block {
    /// Makes the message malformed, so that its stream is reset, if its fields may come to more
    /// than `list_max`, and the library would leave some of them out.
    pub(super) fn refuse_beyond(&mut self, list_max: usize) {
        let priority = if self.flags & PRIORITY != 0 { PRIORITY_LEN } else { 0 };
        // For a block without the priority that it announces the library ends the connection.
        let fields = self.bytes.get(priority..).unwrap_or_default();
        if measure::may_exceed(fields, list_max) {
            self.bytes.extend_from_slice(measure::MALFORMED_FIELD);
        }
    }

    /// Moves `count` bytes of it out of `raw`.
    pub(super) fn take_from(
        &mut self,
        raw: &mut BytesMut,
        count: usize,
        most: usize,
    ) -> Result<(), Reason> {
        let length = self.bytes.len() + count;
        if length > most {
            return Err(Reason::ENHANCE_YOUR_CALM);
        }
        if length > self.bytes.capacity() {
            // Once as it is buffered, once as it is passed on.
            let size = 2 * length;
            self.charge.raise_to(2 * size).map_err(|_| Reason::ENHANCE_YOUR_CALM)?;
            self.bytes.reserve(size - self.bytes.len());
        }
        self.bytes.extend_from_slice(&raw[..count]);
        raw.advance(count);
        self.left -= count;
        Ok(())
    }
}
