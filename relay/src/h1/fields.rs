//! One block of header fields: what speaks of the connection is taken out, the rest is kept.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// What is wrong with a field block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldError {
    /// A field's name or value holds a byte it must not hold.
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

/// A field block, sorted into what is end to end and what is between two neighbours only.
#[derive(Default)]
pub(crate) struct Fields {
    /// End-to-end fields.
    pub(crate) headers: HeaderMap,
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
    /// `HTTP2-Settings`, when `Connection` lists it too.
    pub(crate) http2_settings: Option<HeaderValue>,
}

impl Fields {
    /// Sorts `raw`, whose slices lie inside `block`.
    pub(crate) fn sort(
        raw: &[httparse::Header<'_>],
        block: &Bytes,
        headers: HeaderMap,
    ) -> Result<Fields, FieldError> {
        let mut fields = Fields { headers, ..Fields::default() };
        let mut connection: Option<Vec<HeaderValue>> = None;
        for field in raw {
            let value = value_of(field.value, block)?;
            if let Some(value) = fields.take_special(field.name, value)? {
                connection.get_or_insert_default().push(value);
            }
        }
        fields.apply_connection(&connection.unwrap_or_default());
        Ok(fields)
    }

    /// Files one field. Gives the value of a `Connection` field back, because it can only be
    /// judged when all fields are known.
    fn take_special(
        &mut self,
        name: &str,
        value: HeaderValue,
    ) -> Result<Option<HeaderValue>, FieldError> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            2 if is("te") => {
                self.te_trailers |= lists(value.as_bytes(), "trailers");
                return Ok(None);
            }
            4 if is("host") => {
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
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldError::Malformed)?;
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
        let known = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        match known && !self.chunked {
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
                self.http2_settings = self.headers.remove(&settings);
            } else if let Ok(name) = HeaderName::from_bytes(token) {
                self.headers.remove(name);
            }
        }
        if !upgrades {
            self.upgrade = None;
        }
    }
}

/// A value as a shared slice of the block. Folded lines, which only answers may have, become
/// one line.
fn value_of(value: &[u8], block: &Bytes) -> Result<HeaderValue, FieldError> {
    if memchr::memchr2(b'\r', b'\n', value).is_some() {
        let line: Vec<u8> = value
            .iter()
            .map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte })
            .collect();
        return HeaderValue::from_bytes(&line).map_err(|_| FieldError::Malformed);
    }
    HeaderValue::from_maybe_shared(block.slice_ref(value)).map_err(|_| FieldError::Malformed)
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

/// Digits only: no sign, no blanks, nothing that another parser might read differently.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}
