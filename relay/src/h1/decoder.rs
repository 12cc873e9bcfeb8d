//! Body decoding: where a body ends, without ever copying it.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::fields::{Fields, Writer, trim_blanks_end};
use super::section::{Scan, lines};

/// The longest chunk-size line, extensions included (Go's limit).
const SIZE_LINE_MAX: usize = 4096;
/// How many bytes of framing beyond the plain minimum a body may spend on chunk extensions and
/// tiny chunks before it is taken for an attack (Go's limit).
const EXCESS_MAX: i64 = 16 * 1024;
/// The largest trailer section.
const TRAILERS_MAX: usize = 64 * 1024;
/// The most trailer fields.
const TRAILER_FIELDS_MAX: usize = 256;

/// Where in a body a connection is.
#[derive(Debug, Clone)]
pub(crate) enum Decoder {
    /// This many bytes are to come.
    Length(u64),
    /// Chunks are to come.
    Chunked(Chunked),
    /// Everything until the connection closes.
    UntilClose,
    /// The body has ended, or there never was one.
    Done,
    /// It can never end: what follows its fault is no part of it, and nothing else either.
    Broken(BadFraming),
}

/// What comes next in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many bytes at the front of the input are body.
    Data(usize),
    /// More input is needed.
    NeedInput,
    /// The body has ended.
    End,
}

/// A body whose framing is broken. The connection can only be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadFraming(pub(crate) &'static str);

#[derive(Debug, Clone)]
pub(crate) struct Chunked {
    state: ChunkState,
    excess: i64,
    writer: Writer,
    section: Scan,
    trailers: Option<HeaderMap>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
}

impl Decoder {
    pub(crate) fn chunked(writer: Writer) -> Decoder {
        Decoder::Chunked(Chunked {
            state: ChunkState::Size,
            excess: 0,
            writer,
            section: Scan::default(),
            trailers: None,
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Decoder::Done)
    }

    /// Whether more than `threshold` bytes are to come, so that a large buffer pays.
    pub(crate) fn is_long(&self, threshold: usize) -> bool {
        match self {
            Decoder::Length(left) => *left > threshold as u64,
            Decoder::Chunked(chunked) => {
                matches!(chunked.state, ChunkState::Data(left) if left > threshold as u64)
            }
            Decoder::UntilClose => true,
            Decoder::Done | Decoder::Broken(_) => false,
        }
    }

    /// Consumes framing at the front of `input`, and gives what follows it.
    /// The trailers of a body that has just ended go to `trailers`.
    pub(crate) fn step(
        &mut self,
        input: &mut BytesMut,
        trailers: &mut Option<HeaderMap>,
    ) -> Result<Step, BadFraming> {
        match self {
            Decoder::Done => Ok(Step::End),
            Decoder::Broken(fault) => Err(*fault),
            _ if input.is_empty() => Ok(Step::NeedInput),
            Decoder::Length(left) => Ok(Step::Data(bounded(*left, input.len()))),
            Decoder::UntilClose => Ok(Step::Data(input.len())),
            Decoder::Chunked(chunked) => {
                let step = chunked.step(input);
                match step {
                    Ok(Step::End) => {
                        *trailers = chunked.trailers.take();
                        *self = Decoder::Done;
                    }
                    // Whoever asks again is told the same, and reads nothing on.
                    Err(fault) => *self = Decoder::Broken(fault),
                    Ok(_) => {}
                }
                step
            }
        }
    }

    /// `count` bytes that [`Step::Data`] announced were taken from the input.
    pub(crate) fn consumed(&mut self, count: usize) {
        match self {
            Decoder::Length(left) => {
                *left -= count as u64;
                if *left == 0 {
                    *self = Decoder::Done;
                }
            }
            Decoder::Chunked(Chunked { state: state @ ChunkState::Data(_), .. }) => {
                if let ChunkState::Data(left) = *state {
                    let left = left - count as u64;
                    *state = if left == 0 { ChunkState::DataEnd } else { ChunkState::Data(left) };
                }
            }
            _ => {}
        }
    }

    /// The connection ended. True when that is a valid end of the body.
    pub(crate) fn end_of_input(&mut self) -> bool {
        let whole = matches!(self, Decoder::UntilClose | Decoder::Done);
        if whole {
            *self = Decoder::Done;
        }
        whole
    }
}

impl Chunked {
    fn step(&mut self, input: &mut BytesMut) -> Result<Step, BadFraming> {
        loop {
            match self.state {
                ChunkState::Data(left) => {
                    return Ok(match input.len() {
                        0 => Step::NeedInput,
                        available => Step::Data(bounded(left, available)),
                    });
                }
                ChunkState::DataEnd => {
                    let seen = input.len().min(2);
                    if input[..seen] != b"\r\n"[..seen] {
                        return Err(BadFraming("chunk is longer than its size says"));
                    }
                    if seen < 2 {
                        return Ok(Step::NeedInput);
                    }
                    input.advance(2);
                    self.state = ChunkState::Size;
                }
                ChunkState::Size => match self.size_line(input)? {
                    None => return Ok(Step::NeedInput),
                    Some(0) => self.state = ChunkState::Trailers,
                    Some(size) => self.state = ChunkState::Data(size),
                },
                ChunkState::Trailers => {
                    return Ok(match self.trailer_section(input)? {
                        true => Step::End,
                        false => Step::NeedInput,
                    });
                }
            }
        }
    }

    /// Takes one chunk-size line: digits, trailing blanks and an extension, ended by CRLF. A
    /// lenient parser here is how requests are smuggled.
    fn size_line(&mut self, input: &mut BytesMut) -> Result<Option<u64>, BadFraming> {
        let window = &input[..input.len().min(SIZE_LINE_MAX)];
        let Some(newline) = memchr::memchr(b'\n', window) else {
            return match input.len() >= SIZE_LINE_MAX {
                true => Err(BadFraming("chunk size line is too long")),
                false => Ok(None),
            };
        };
        let line = window[..newline]
            .strip_suffix(b"\r")
            .ok_or(BadFraming("chunk size line ends in a bare line feed"))?;
        let end = memchr::memchr(b';', line).unwrap_or(line.len());
        let (digits, extension) = (trim_blanks_end(&line[..end]), &line[end..]);
        let is_bad = |byte: &u8| match self.writer {
            Writer::Client => byte.is_ascii_control() && *byte != b'\t',
            Writer::App => *byte == b'\r',
        };
        if extension.iter().any(is_bad) {
            return Err(BadFraming("invalid byte in chunk extension"));
        }
        let size = hexadecimal(digits).ok_or(BadFraming("invalid byte in chunk length"))?;
        let spent = (newline + 1) as i64;
        let allowed =
            16_i64.saturating_add(i64::try_from(size).unwrap_or(i64::MAX).saturating_mul(2));
        self.excess = (self.excess + spent).saturating_sub(allowed).max(0);
        if self.excess > EXCESS_MAX {
            return Err(BadFraming("chunked encoding contains too much non-data"));
        }
        input.advance(newline + 1);
        Ok(Some(size))
    }

    /// Takes the trailer section, once it is complete.
    fn trailer_section(&mut self, input: &mut BytesMut) -> Result<bool, BadFraming> {
        let end = self.section.end(input);
        // Whether it came in one piece or in many.
        if end.unwrap_or(input.len()) > TRAILERS_MAX {
            return Err(BadFraming("trailer section is too long"));
        }
        let Some(end) = end else { return Ok(false) };
        let block = input.split_to(end).freeze();
        self.trailers = parse_trailers(&block, self.writer)?;
        Ok(true)
    }
}

fn parse_trailers(block: &Bytes, writer: Writer) -> Result<Option<HeaderMap>, BadFraming> {
    const BAD: BadFraming = BadFraming("malformed trailer section");
    let count = lines(block).count();
    if count == 0 {
        return Ok(None);
    }
    if count > TRAILER_FIELDS_MAX {
        return Err(BAD);
    }
    let fields = Fields::parse(lines(block), block, writer, HeaderMap::new()).map_err(|_| BAD)?;
    Ok(Some(fields.headers))
}

fn bounded(left: u64, available: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(available)
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        value.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
