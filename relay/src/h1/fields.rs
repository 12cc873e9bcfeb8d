//! One block of header fields: those that concern the connection are removed, the rest is kept.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use super::section::Lines;
use crate::trailers::is_hop_by_hop;

/// The most fields of a section: a header map holds no more than twice as many.
const FIELDS_MAX: usize = 16 * 1024;

/// What is wrong with a field block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldError {
    /// A field's name or value holds a forbidden byte.
    Malformed,
    /// More fields than a map can hold.
    TooMany,
    /// `Content-Length` is not one number.
    ContentLength,
    /// `Transfer-Encoding` is anything but one `chunked`.
    TransferEncoding,
    /// `Host` appears more than once.
    ManyHosts,
}

/// The writer of a field block, which decides how lenient its parsing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A client, which is not trusted: whatever two parsers might read differently is refused.
    Client,
    /// The app, which has worked behind Go's client: what Go accepts is accepted.
    App,
}

/// A field block, split into end-to-end fields and the meaning of the hop-by-hop ones.
#[derive(Default)]
pub(crate) struct Fields {
    /// End-to-end fields.
    pub(crate) headers: HeaderMap,
    /// End-to-end fields of an app whose values hold control characters. HTTP/1 clients get them
    /// unchanged; the grammar forbids them, and a header map cannot hold them.
    pub(crate) odd: Vec<(HeaderName, Bytes)>,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) content_length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// `Upgrade`, when `Connection` lists it too.
    pub(crate) upgrade: Option<HeaderValue>,
    pub(crate) trailer: Option<HeaderValue>,
    pub(crate) te_trailers: bool,
    /// The value of `Expect`, which is end to end only as `100-continue`.
    pub(crate) expect: Option<HeaderValue>,
    /// `HTTP2-Settings`, when `Connection` lists it too and it is there once.
    pub(crate) http2_settings: Option<HeaderValue>,
}

impl Fields {
    /// Parses the fields on `lines`, which are slices of `block`, into the kinds above.
    pub(crate) fn parse(
        lines: Lines<'_>,
        block: &Bytes,
        writer: Writer,
        headers: HeaderMap,
    ) -> Result<Fields, FieldError> {
        let mut fields = Fields { headers, ..Fields::default() };
        let mut connection = Vec::new();
        let mut lines = lines.peekable();
        let mut count = 0;
        while let Some(line) = lines.next() {
            count += 1;
            if count > FIELDS_MAX {
                return Err(FieldError::TooMany);
            }
            if is_continuation(line) {
                return Err(FieldError::Malformed);
            }
            let mut folded = None;
            while writer == Writer::App
                && let Some(more) = lines.next_if(|line| is_continuation(line))
            {
                count += 1;
                let line = folded.get_or_insert_with(|| trim_blanks_end(line).to_vec());
                line.push(b' ');
                line.extend_from_slice(trim_blanks(more));
            }
            let value = match folded {
                None => fields.take(line, |value| block.slice_ref(value), writer),
                Some(line) => fields.take(&line, Bytes::copy_from_slice, writer),
            };
            connection.extend(value?);
        }
        fields.apply_connection(&connection);
        Ok(fields)
    }

    /// Parses one line. Gives the value of a `Connection` field back, because it can only be
    /// applied when all fields are known.
    fn take(
        &mut self,
        line: &[u8],
        keep: impl Fn(&[u8]) -> Bytes,
        writer: Writer,
    ) -> Result<Option<HeaderValue>, FieldError> {
        let colon = memchr::memchr(b':', line).ok_or(FieldError::Malformed)?;
        let (mut name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
        if writer == Writer::App {
            // RFC 9112, section 5.1: a proxy removes these blanks from a response.
            name = trim_blanks_end(name);
        }
        let kept = keep(value);
        match HeaderValue::from_maybe_shared(kept.clone()) {
            Ok(value) => match self.take_special(name, value, writer) {
                Err(FieldError::Malformed) if writer == Writer::App => Ok(None),
                filed => filed,
            },
            Err(_) if writer == Writer::App => self.take_odd(name, kept).map(|()| None),
            Err(_) => Err(FieldError::Malformed),
        }
    }

    /// Keeps an app's field whose value holds control characters. A value that would end its own
    /// line, or that some parsers end at a NUL, and any field that frames the message is refused.
    fn take_odd(&mut self, name: &[u8], value: Bytes) -> Result<(), FieldError> {
        if value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(FieldError::Malformed);
        }
        match HeaderName::from_bytes(name) {
            Ok(CONTENT_LENGTH) => return Err(FieldError::ContentLength),
            Ok(TRANSFER_ENCODING) => return Err(FieldError::TransferEncoding),
            Ok(name) if !is_hop_by_hop(&name) => self.odd.push((name, value)),
            // Malformed names and hop-by-hop fields are dropped.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    /// Keeps one field whose value is valid.
    fn take_special(
        &mut self,
        name: &[u8],
        value: HeaderValue,
        writer: Writer,
    ) -> Result<Option<HeaderValue>, FieldError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => {
                self.te_trailers |= lists(value.as_bytes(), "trailers");
                return Ok(None);
            }
            4 if is("host") && writer == Writer::Client => {
                return match self.host.replace(value) {
                    Some(_) => Err(FieldError::ManyHosts),
                    None => Ok(None),
                };
            }
            6 if is("expect") => {
                self.expect = Some(value);
                return Ok(None);
            }
            7 if is("trailer") => {
                self.trailer = Some(joined(self.trailer.take(), value)?);
                return Ok(None);
            }
            7 if is("upgrade") => {
                self.upgrade = Some(joined(self.upgrade.take(), value)?);
                return Ok(None);
            }
            10 if is("connection") => return Ok(self.connection(value)),
            10 if is("keep-alive") => return Ok(None),
            14 if is("content-length") => return self.content_length(&value).map(|()| None),
            16 if is("proxy-connection") => return Ok(None),
            17 if is("transfer-encoding") => return self.encoding(&value).map(|()| None),
            18 if is("proxy-authenticate") => return Ok(None),
            19 if is("proxy-authorization") => return Ok(None),
            _ => {}
        }
        let name = HeaderName::from_bytes(name).map_err(|_| FieldError::Malformed)?;
        self.headers.try_append(name, value).map_err(|_| FieldError::TooMany)?;
        Ok(None)
    }

    /// Reads a `Connection` field with one of the two usual options at once, and gives any
    /// other one back.
    fn connection(&mut self, value: HeaderValue) -> Option<HeaderValue> {
        if value.as_bytes().eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if value.as_bytes().eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else {
            return Some(value);
        }
        None
    }

    /// The message is framed in two ways at once.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.chunked && self.content_length.is_some()
    }

    fn content_length(&mut self, value: &HeaderValue) -> Result<(), FieldError> {
        let length = decimal(value.as_bytes()).ok_or(FieldError::ContentLength)?;
        match self.content_length.replace(length) {
            Some(other) if other != length => Err(FieldError::ContentLength),
            _ => Ok(()),
        }
    }

    fn encoding(&mut self, value: &HeaderValue) -> Result<(), FieldError> {
        let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        match is_chunked && !self.chunked {
            true => self.chunked = true,
            false => return Err(FieldError::TransferEncoding),
        }
        Ok(())
    }

    /// Honours `Connection`: its options, and the fields it declares to be hop by hop.
    fn apply_connection(&mut self, values: &[HeaderValue]) {
        let mut upgrades = false;
        let settings = HeaderName::from_static("http2-settings");
        for token in values.iter().flat_map(|value| tokens(value.as_bytes())) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                upgrades = true;
            } else if token.eq_ignore_ascii_case(settings.as_str().as_bytes()) {
                if self.headers.get_all(&settings).iter().count() == 1 {
                    self.http2_settings = self.headers.get(&settings).cloned();
                }
                self.headers.remove(&settings);
            } else if let Ok(name) = HeaderName::from_bytes(token) {
                self.odd.retain(|(odd, _)| *odd != name);
                self.headers.remove(name);
            }
        }
        if !upgrades {
            self.upgrade = None;
        }
    }
}

/// A line that continues the value of the line before it.
fn is_continuation(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// Removes the optional blanks on both ends of a value.
fn trim_blanks(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
    trim_blanks_end(&value[start..])
}

pub(crate) fn trim_blanks_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn joined(first: Option<HeaderValue>, second: HeaderValue) -> Result<HeaderValue, FieldError> {
    let Some(first) = first else { return Ok(second) };
    let both = [first.as_bytes(), b", ", second.as_bytes()].concat();
    HeaderValue::from_bytes(&both).map_err(|_| FieldError::Malformed)
}

/// The elements of a comma-separated list, without surrounding blanks and without empty ones.
pub(crate) fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// Whether a comma-separated list names `token`, whatever its case.
pub(crate) fn lists(list: &[u8], token: &str) -> bool {
    tokens(list).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The longest body that a length can announce. Many readers have a signed number for it, Go's and
/// Java's among them, and would take a longer one for something else.
const LENGTH_MAX: u64 = i64::MAX.unsigned_abs();

/// Digits only: no sign, no blanks, nothing that another parser might read differently.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let length = text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    length.filter(|length| *length <= LENGTH_MAX)
}
