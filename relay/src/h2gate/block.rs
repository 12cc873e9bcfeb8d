//! A head that is withheld until it is complete.

use bytes::{Buf, BytesMut};
use h2::Reason;

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
