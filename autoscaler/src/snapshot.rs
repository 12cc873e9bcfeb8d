//! State that survives: an autoscaler as bytes, and back.
//!
//! ```text
//! "TGAS"  version u16  length u32  payload (length bytes)  FNV-1a u64 of all before it
//! ```
//!
//! Everything is little-endian; floats are their bits, so that a restored autoscaler decides the
//! same to the last bit. What is not exactly that is refused with an error, and the caller starts
//! anew, as Knative always does. Restoring never panics and allocates a bounded amount whatever the
//! bytes.

mod codec;
mod state;

pub(crate) use codec::{Reader, Writer};

use std::fmt;

use crate::revision::RevisionAutoscaler;

/// What every snapshot begins with.
const MAGIC: [u8; 4] = *b"TGAS";

/// The version written, and the only one read.
pub const VERSION: u16 = 1;

/// Bytes before the payload: magic, version, length.
const HEADER_BYTES: usize = 4 + 2 + 4;

/// Bytes after the payload.
const CHECKSUM_BYTES: usize = 8;

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They do not begin like a snapshot.
    NotASnapshot,
    /// They were written by another version.
    UnknownVersion(u16),
    /// There are too few or too many of them.
    WrongLength,
    /// The checksum is not theirs.
    Corrupt,
    /// The named part holds what no autoscaler can.
    Invalid(&'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("snapshot: ")?;
        match self {
            SnapshotError::NotASnapshot => f.write_str("not an autoscaler's"),
            SnapshotError::UnknownVersion(version) => {
                write!(f, "version {version}, expected {VERSION}")
            }
            SnapshotError::WrongLength => f.write_str("cut short or followed by something"),
            SnapshotError::Corrupt => f.write_str("checksum does not match"),
            SnapshotError::Invalid(part) => write!(f, "impossible {part}"),
        }?;
        f.write_str("; start without it")
    }
}

impl std::error::Error for SnapshotError {}

impl RevisionAutoscaler {
    /// The autoscaler as bytes, settings included.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(&MAGIC);
        out.u16(VERSION);
        out.u32(0);
        self.save(&mut out);
        let mut bytes = out.into_bytes();
        let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        let checksum = fnv_1a(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The autoscaler that [`snapshot`](Self::snapshot) made bytes of. It decides what that one
    /// would have decided.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] for everything else.
    pub fn restore(bytes: &[u8]) -> Result<RevisionAutoscaler, SnapshotError> {
        let mut header = Reader::new(bytes);
        if header.array::<4>() != Ok(MAGIC) {
            return Err(SnapshotError::NotASnapshot);
        }
        let version = header.u16()?;
        if version != VERSION {
            return Err(SnapshotError::UnknownVersion(version));
        }
        let length = header.u32()? as usize;
        if bytes.len() != HEADER_BYTES + length + CHECKSUM_BYTES {
            return Err(SnapshotError::WrongLength);
        }
        let (body, checksum) = bytes.split_at(HEADER_BYTES + length);
        if Reader::new(checksum).u64()? != fnv_1a(body) {
            return Err(SnapshotError::Corrupt);
        }
        let mut payload = Reader::new(&body[HEADER_BYTES..]);
        let autoscaler = RevisionAutoscaler::load(&mut payload)?;
        if payload.is_at_end() { Ok(autoscaler) } else { Err(SnapshotError::WrongLength) }
    }
}

/// The FNV-1a hash of 64 bits: enough to tell a torn write or a flipped bit, which is all it is
/// for.
fn fnv_1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}
