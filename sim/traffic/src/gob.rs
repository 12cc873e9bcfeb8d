//! Results of `vegeta attack` as it writes them: a stream of Go's gob encoding.
//!
//! Each message is one result, after two that describe its type. Only the fields up to the latency
//! are looked at; their order has been the same since results are written so. What comes out are
//! lines of JSON with the names that `vegeta encode` gives.

use std::io::{self, BufRead, Read};

use crate::error::TrafficError;
use crate::input::{Input, LINE_BYTES_MAX};

/// Names that stand in the description of the type, at the beginning of a file.
const MARKS: [&[u8]; 4] = [b"Attack", b"Timestamp", b"Latency", b"BytesOut"];

/// Bytes in which they stand.
const HEAD_BYTES: usize = 1_024;

/// Numbers of the fields of a result, from one.
const SEQUENCE: u64 = 2;
const CODE: u64 = 3;
const TIMESTAMP: u64 = 4;
const LATENCY: u64 = 5;

/// Seconds from the first day of the year 1, from which Go counts, to 1970.
const YEAR_ONE_S: i64 = 62_135_596_800;

/// Whether `head` begins such a stream.
pub(crate) fn is_results(head: &[u8]) -> bool {
    let begin = &head[..head.len().min(HEAD_BYTES)];
    !matches!(begin.first(), Some(b'{' | b'['))
        && begin.contains(&0)
        && MARKS.iter().all(|mark| memchr::memmem::find(begin, mark).is_some())
}

/// The results in `input`, one a line.
pub(crate) fn lines(input: &Input, bytes_max: u64) -> Result<Vec<u8>, TrafficError> {
    let mut reader = input.reader()?.take(bytes_max);
    let mut lines = Vec::new();
    let mut message = Vec::new();
    let mut number = 0;
    loop {
        if reader.fill_buf().map_err(|source| input.io(source))?.is_empty() {
            return Ok(lines);
        }
        number += 1;
        let wrong = |problem: &str| TrafficError::Document {
            file: input.name().to_owned(),
            line: number,
            column: 1,
            problem: format!("message {number} of vegeta's results: {problem}"),
        };
        let length = unsigned(&mut reader).map_err(|_| wrong("expected its length"))?;
        if length > LINE_BYTES_MAX as u64 {
            return Err(wrong("expected it to be shorter than a line may be"));
        }
        message.clear();
        let read = Read::take(&mut reader, length).read_to_end(&mut message);
        if read.map_err(|source| input.io(source))? as u64 != length {
            return Err(wrong("expected as many bytes as its length says, found the end"));
        }
        let line = result(&message).map_err(|_| wrong("expected a result"))?;
        if let Some(line) = line {
            lines.extend_from_slice(line.as_bytes());
        }
    }
}

/// The line of one message; `None` for one that describes a type.
fn result(mut message: &[u8]) -> io::Result<Option<String>> {
    let kind = signed(&mut message)?;
    if kind < 0 {
        return Ok(None);
    }
    let (mut sequence, mut code, mut stamp_ns, mut latency_ns) = (0, 0, None, 0);
    let mut field = 0_u64;
    while field < LATENCY {
        // Fields that are zero are left out: what stands is how many fields further this one is.
        let step = unsigned(&mut message)?;
        if step == 0 {
            break;
        }
        field = field.checked_add(step).ok_or(io::ErrorKind::InvalidData)?;
        match field {
            SEQUENCE => sequence = unsigned(&mut message)?,
            CODE => code = unsigned(&mut message)?,
            TIMESTAMP => stamp_ns = Some(moment(bytes(&mut message)?)?),
            LATENCY => latency_ns = signed(&mut message)?,
            1 => drop(bytes(&mut message)?),
            _ => break,
        }
    }
    let stamp_ns = stamp_ns.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(format!(
        "{{\"seq\":{sequence},\"code\":{code},\"timestamp\":{stamp_ns},\"latency\":{latency_ns}}}\n"
    )))
}

/// Nanoseconds since 1970 of a moment as Go writes it: a version, seconds, nanoseconds, a zone.
fn moment(bytes: &[u8]) -> io::Result<i64> {
    let seconds = bytes.get(1..9).and_then(|part| part.try_into().ok()).map(i64::from_be_bytes);
    let nanos = bytes.get(9..13).and_then(|part| part.try_into().ok()).map(u32::from_be_bytes);
    let whole =
        seconds.and_then(|seconds| seconds.checked_sub(YEAR_ONE_S)?.checked_mul(1_000_000_000));
    match (whole, nanos) {
        (Some(whole), Some(nanos)) => {
            whole.checked_add(i64::from(nanos)).ok_or(io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A number below 128 as it is; a larger one behind the count of its bytes, taken from 256.
fn unsigned(reader: &mut impl Read) -> io::Result<u64> {
    let mut first = [0];
    reader.read_exact(&mut first)?;
    if first[0] < 128 {
        return Ok(u64::from(first[0]));
    }
    let length = usize::from(first[0].wrapping_neg());
    let mut number = [0; 8];
    let start = number.len().checked_sub(length).ok_or(io::ErrorKind::InvalidData)?;
    reader.read_exact(&mut number[start..])?;
    Ok(u64::from_be_bytes(number))
}

/// A number whose lowest bit says whether all others are turned round.
fn signed(reader: &mut impl Read) -> io::Result<i64> {
    let number = unsigned(reader)?;
    let half = i64::try_from(number >> 1).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(if number & 1 == 0 { half } else { !half })
}

/// Bytes behind their length.
fn bytes<'a>(message: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let length = usize::try_from(unsigned(message)?).map_err(|_| io::ErrorKind::InvalidData)?;
    let (found, rest) = message.split_at_checked(length).ok_or(io::ErrorKind::UnexpectedEof)?;
    *message = rest;
    Ok(found)
}
