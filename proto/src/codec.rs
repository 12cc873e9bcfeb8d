//! How messages are read from and written to a stream: with buffers for the messages that there
//! are.
//!
//! The library's own begin with 8 KiB in each direction, for every stream. A controller has tens of
//! thousands of them, each with a report of a hundred bytes a second and an acknowledgement now
//! and then. What is longer makes its buffer grow.

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// Bytes that a stream's buffer has room for at first, in either direction: a report with a digest
/// of its service times, of the usual length.
const BUFFER_BYTES: usize = 512;

/// Bytes of messages that are ready, from which on they are handed on before more are written: the
/// library's own number.
const YIELD_BYTES: usize = 32 * 1024;

/// Writes `T` and reads `U`.
#[derive(Debug, Clone)]
pub struct FrugalCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for FrugalCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::default())
    }
}

impl<T, U> Codec for FrugalCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}
