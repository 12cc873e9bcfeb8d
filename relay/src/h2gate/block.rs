//! A head that is withheld until all of it has come.

use bytes::{Buf, BytesMut};
use h2::Reason;

use crate::memory::Charge;

/// A head whose end has not come.
pub(super) struct Block {
    pub(super) stream: u32,
    /// Those of its flags that outlive the way it was cut into frames.
    pub(super) flags: u8,
    pub(super) bytes: BytesMut,
    pub(super) charge: Charge,
    /// What is still to come of the current frame.
    pub(super) left: usize,
    /// The current frame is the last.
    pub(super) ends: bool,
}

impl Block {
    /// Takes bytes of it from what was read.
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
            // Once as it is kept, once as it is handed over.
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
