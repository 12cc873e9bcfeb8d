//! Files as lines: opened, unpacked and hashed while they stream by.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use sha2::{Digest, Sha256};

use crate::error::{Location, TrafficError, quote};
use crate::wrapper::{Inner, Wrapper};

/// Longest line of any format: an Azure 2019 row of a day is below 10 kB, a Huawei row of 5,093
/// functions below 100 kB; an IBM row with one app's week of times is the longest sensible one.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Bytes of unpacked content that detection may look at.
pub const DETECT_BYTES_MAX: usize = 256 << 10;

/// Read size: large enough that system calls do not show, small enough to stay in the cache.
const BUFFER_BYTES: usize = 128 << 10;

/// Lines that one record may have: a failure message quoted in a CSV has a stack trace's.
const RECORD_LINES_MAX: usize = 1_000;

/// A byte order mark, as spreadsheets and Windows write it: no part of the first name.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What holds a trace, and the hash of its bytes once they were all seen.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    bytes: Bytes,
    name: String,
    sha256: Arc<OnceLock<String>>,
    /// What lines are wrapped in, outermost first.
    wrappers: Vec<Wrapper>,
    /// One line for each entry of a document, when it has been read as one.
    entries: Option<Arc<[u8]>>,
}

/// Where the bytes of an input are.
#[derive(Debug, Clone)]
enum Bytes {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

/// The lines of one input, numbered, bounded in length.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    name: String,
    number: u64,
    buffer: Vec<u8>,
    wrappers: Vec<Wrapper>,
}

/// Passes bytes through and leaves their hash behind at the end.
struct Hashing {
    inner: Box<dyn Read + Send>,
    hasher: Sha256,
    sha256: Arc<OnceLock<String>>,
}

/// Zstandard frames one after another, as `zstd` and `pzstd` write them.
struct ZstdFrames<R: Read> {
    /// `None` between frames and at the end; the source waits in `source` meanwhile.
    frame: Option<Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>>,
    source: Option<R>,
}

impl Input {
    pub(crate) fn new(path: &Path) -> Self {
        let name = path.display().to_string();
        Self::of(Bytes::File(path.to_path_buf()), name)
    }

    /// Bytes that are in memory already, under a name for messages.
    pub(crate) fn memory(name: &str, bytes: Arc<[u8]>) -> Self {
        Self::of(Bytes::Memory(bytes), name.to_owned())
    }

    fn of(bytes: Bytes, name: String) -> Self {
        Input { bytes, name, sha256: Arc::default(), wrappers: Vec::new(), entries: None }
    }

    /// The same with `wrappers` taken off each line.
    pub(crate) fn unwrapped(&self, wrappers: &[Wrapper]) -> Self {
        Input { wrappers: wrappers.to_vec(), ..self.clone() }
    }

    /// The same with `lines`, one for each entry of the document, instead of its own.
    pub(crate) fn flattened(&self, lines: Vec<u8>) -> Self {
        Input { entries: Some(lines.into()), ..self.clone() }
    }

    /// What lines are wrapped in.
    pub(crate) fn wrappers(&self) -> &[Wrapper] {
        &self.wrappers
    }

    /// The bytes as they are stored, from the beginning.
    fn stored(&self) -> Result<Box<dyn Read + Send>, TrafficError> {
        match &self.bytes {
            Bytes::File(path) => match File::open(path) {
                Ok(file) => Ok(Box::new(file)),
                Err(source) => Err(self.io(source)),
            },
            Bytes::Memory(bytes) => Ok(Box::new(io::Cursor::new(Arc::clone(bytes)))),
        }
    }

    /// The name that messages use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Opens the file from its beginning, unpacked when it is gzip or zstd.
    pub(crate) fn lines(&self) -> Result<Lines, TrafficError> {
        let reader = self.reader()?;
        let wrappers = self.wrappers.clone();
        Ok(Lines { reader, name: self.name.clone(), number: 0, buffer: Vec::new(), wrappers })
    }

    /// The unpacked content as a byte stream, for formats that are one document.
    pub(crate) fn reader(&self) -> Result<Box<dyn BufRead + Send>, TrafficError> {
        if let Some(entries) = &self.entries {
            return Ok(Box::new(io::Cursor::new(Arc::clone(entries))));
        }
        let inner = self.stored()?;
        let inner: Box<dyn Read + Send> = match &self.bytes {
            Bytes::File(_) => {
                let sha256 = Arc::clone(&self.sha256);
                Box::new(Hashing { inner, hasher: Sha256::new(), sha256 })
            }
            // They stay at hand: who wants the hash need not have read to the end.
            Bytes::Memory(_) => inner,
        };
        let mut packed = BufReader::with_capacity(BUFFER_BYTES, inner);
        let head = packed.fill_buf().map_err(|source| self.io(source))?;
        let mut reader: Box<dyn BufRead + Send> = if head.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(packed)))
        } else if head.starts_with(&ZSTD_MAGIC) {
            let frames = ZstdFrames { frame: None, source: Some(packed) };
            Box::new(BufReader::with_capacity(BUFFER_BYTES, frames))
        } else {
            Box::new(packed)
        };
        // Documents and lines alike begin behind the mark.
        let start = reader.fill_buf().map_err(|source| self.io(source))?;
        if start.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(reader)
    }

    /// The first bytes of the content, for detection.
    pub(crate) fn head(&self) -> Result<Vec<u8>, TrafficError> {
        let mut head = Vec::new();
        let limit = DETECT_BYTES_MAX as u64;
        self.reader()?.take(limit).read_to_end(&mut head).map_err(|source| self.io(source))?;
        Ok(head)
    }

    /// Hash of the file's bytes as stored; reads the file unless a reader has already seen it all.
    pub(crate) fn sha256(&self) -> Result<String, TrafficError> {
        if let Some(known) = self.sha256.get() {
            return Ok(known.clone());
        }
        let mut file = self.stored()?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0_u8; BUFFER_BYTES];
        loop {
            let length = file.read(&mut chunk).map_err(|source| self.io(source))?;
            if length == 0 {
                break;
            }
            hasher.update(&chunk[..length]);
        }
        Ok(self.sha256.get_or_init(|| hex(&hasher.finalize())).clone())
    }

    pub(crate) fn io(&self, source: io::Error) -> TrafficError {
        TrafficError::Io { file: self.name.clone(), source }
    }
}

impl Lines {
    /// Moves to the next line that is not blank, out of its wrappers; `false` at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, TrafficError> {
        loop {
            self.buffer.clear();
            if !self.append()? {
                return Ok(false);
            }
            if !self.wrappers.is_empty() {
                self.unwrap()?;
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(true);
            }
        }
    }

    /// The same for a record of CSV, whose quoted fields may hold line ends.
    pub(crate) fn advance_record(&mut self) -> Result<bool, TrafficError> {
        if !self.advance()? {
            return Ok(false);
        }
        let open = |buffer: &[u8]| memchr::memchr_iter(b'"', buffer).count() % 2 == 1;
        let mut lines = 1;
        while open(&self.buffer) && lines < RECORD_LINES_MAX {
            self.buffer.push(b'\n');
            if !self.append()? {
                break;
            }
            lines += 1;
        }
        Ok(true)
    }

    /// Appends the next line of the file to the buffer, without its end.
    fn append(&mut self) -> Result<bool, TrafficError> {
        self.number += 1;
        let limit = (LINE_BYTES_MAX + 1).saturating_sub(self.buffer.len()) as u64;
        let read = Read::take(&mut self.reader, limit)
            .read_until(b'\n', &mut self.buffer)
            .map_err(|source| TrafficError::Io { file: self.name.clone(), source })?;
        if self.buffer.len() > LINE_BYTES_MAX {
            let location = self.location(0);
            return Err(TrafficError::LineTooLong { location, limit_bytes: LINE_BYTES_MAX });
        }
        while matches!(self.buffer.last(), Some(b'\n' | b'\r')) {
            self.buffer.pop();
        }
        Ok(read > 0)
    }

    /// Puts what is inside the line in the buffer into its place, with what follows it.
    fn unwrap(&mut self) -> Result<(), TrafficError> {
        let mut whole = Vec::new();
        loop {
            let (inner, continued) = opened(&self.wrappers, &self.buffer);
            let room = LINE_BYTES_MAX.saturating_sub(whole.len());
            whole.extend_from_slice(&inner[..inner.len().min(room)]);
            self.buffer.clear();
            if !continued || !self.append()? {
                break;
            }
        }
        self.buffer = whole;
        Ok(())
    }

    /// The line `advance` moved to, without its line end.
    pub(crate) fn line(&self) -> &[u8] {
        &self.buffer
    }

    /// The place at `column`, counted from 1, of the current line.
    pub(crate) fn location(&self, column: usize) -> Location {
        Location { file: self.name.clone(), line: self.number, column }
    }

    /// An error about the field `found` that begins at byte `offset` of the current line.
    pub(crate) fn bad(&self, offset: usize, expected: &str, found: &[u8]) -> TrafficError {
        TrafficError::BadRow {
            location: self.location(offset + 1),
            expected: expected.to_owned(),
            found: if found.is_empty() { "nothing".to_owned() } else { quote(found) },
            hint: "",
        }
    }
}

/// What is inside `line`, and whether it goes on. A line without the wrapper, as another program
/// may have written into the same file, stays as it is.
pub(crate) fn opened(wrappers: &[Wrapper], line: &[u8]) -> (Vec<u8>, bool) {
    let mut text = line.to_vec();
    let mut goes_on = false;
    for wrapper in wrappers {
        let Some(Inner { text: inner, continued }) = wrapper.open(&text) else { break };
        goes_on |= continued;
        text = inner.into_owned();
    }
    (text, goes_on)
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length == 0 && !buffer.is_empty() {
            let hasher = std::mem::take(&mut self.hasher);
            // A second reader of the same input finds the same hash already there.
            self.sha256.get_or_init(|| hex(&hasher.finalize()));
        } else {
            self.hasher.update(&buffer[..length]);
        }
        Ok(length)
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let length = frame.read(buffer)?;
                if length > 0 || buffer.is_empty() {
                    return Ok(length);
                }
                self.source = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut source) = self.source.take() else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            match StreamingDecoder::new(source) {
                Ok(frame) => self.frame = Some(Box::new(frame)),
                Err(error) => return Err(zstd_error(&error)),
            }
        }
    }
}

fn zstd_error(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a whole zstd frame: {error}"))
}

/// Lower-case hexadecimal digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hash of a text that defines arrivals.
pub(crate) fn sha256_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}
