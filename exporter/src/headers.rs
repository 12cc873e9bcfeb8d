//! Headers of every push: mostly a token, which is never printed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest file with headers.
const HEADERS_BYTES_MAX: u64 = 64 << 10;
/// Most headers.
const PUSH_HEADERS_MAX: usize = 32;

/// Headers that are the transport's own.
const RESERVED: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-encoding",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Why headers cannot be used. It never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadersError {
    /// A file cannot be read.
    #[error("cannot read headers from {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        why: String,
    },
    /// A part is no header.
    #[error("{origin}: part {number} is no header, expected {expected}")]
    Part {
        /// The file or the variable.
        origin: String,
        /// Its number, from 1.
        number: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A header of the transport itself.
    #[error("{origin}: the header {name} is set by the push itself")]
    Reserved {
        /// The file or the variable.
        origin: String,
        /// The header.
        name: HeaderName,
    },
    /// There are too many.
    #[error("{0}: expected {PUSH_HEADERS_MAX} headers at most")]
    Many(String),
}

/// Where headers come from.
#[derive(Debug, Clone)]
pub enum Headers {
    /// They stay as they are.
    Fixed(HeaderMap),
    /// A file that is read before each push, since tokens are renewed.
    File {
        /// The file.
        path: PathBuf,
        /// What was in it when it could be used last.
        last: HeaderMap,
    },
}

impl Default for Headers {
    fn default() -> Self {
        Self::Fixed(HeaderMap::new())
    }
}

impl Headers {
    /// Headers of a file with a line `Name: value` for each; empty lines and those that begin with
    /// `#` are left out.
    ///
    /// # Errors
    ///
    /// When it cannot be read or understood.
    pub fn of_file(path: &Path) -> Result<Self, HeadersError> {
        Ok(Self::File { path: path.to_owned(), last: read(path)? })
    }

    /// Headers as OpenTelemetry's variables have them: `name=value` with commas between, in which
    /// `%2C` stands for a comma. `origin` is the variable.
    ///
    /// # Errors
    ///
    /// When it cannot be understood.
    pub fn of_variable(origin: &str, text: &str) -> Result<Self, HeadersError> {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let pairs = parts.map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_owned(), percent_decoded(value.trim())?))
        });
        collect(origin, pairs, "name=value").map(Self::Fixed)
    }

    /// The headers for a push now; and why they are those from before, when the file cannot be used
    /// any more.
    pub fn now(&mut self) -> (HeaderMap, Option<HeadersError>) {
        match self {
            Self::Fixed(headers) => (headers.clone(), None),
            Self::File { path, last } => match read(path) {
                Ok(headers) => {
                    last.clone_from(&headers);
                    (headers, None)
                }
                Err(error) => (last.clone(), Some(error)),
            },
        }
    }
}

fn read(path: &Path) -> Result<HeaderMap, HeadersError> {
    let wrong = |why: String| HeadersError::File { path: path.to_owned(), why };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = file.take(HEADERS_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > HEADERS_BYTES_MAX {
        return Err(wrong(format!("it is longer than {HEADERS_BYTES_MAX} bytes")));
    }
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    collect(&path.display().to_string(), pairs, "a line such as Authorization: Bearer …")
}

fn collect(
    origin: &str,
    pairs: impl Iterator<Item = Option<(String, String)>>,
    expected: &'static str,
) -> Result<HeaderMap, HeadersError> {
    let mut headers = HeaderMap::new();
    for (number, pair) in (1..).zip(pairs) {
        let wrong = || HeadersError::Part { origin: origin.to_owned(), number, expected };
        let (name, value) = pair.ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        if RESERVED.contains(&name.as_str()) {
            return Err(HeadersError::Reserved { origin: origin.to_owned(), name });
        }
        if number > PUSH_HEADERS_MAX {
            return Err(HeadersError::Many(origin.to_owned()));
        }
        headers.insert(name, value);
    }
    Ok(headers)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_open_telemetry_has_them() {
        let text = "authorization=Bearer%20s3cret,x-tenant = a%2Cb ,";
        let mut headers = Headers::of_variable("V", text).expect("headers");
        let (headers, _) = headers.now();
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert_eq!(headers["x-tenant"], "a,b");
        for bad in ["s3cret", "a b=s3cret", "a=%2", "a=%zz", "a=s3\ncret"] {
            let error = Headers::of_variable("V", bad).expect_err(bad).to_string();
            assert!(error.contains("part 1") && !error.contains("s3cret"), "{error}");
        }
        let error = Headers::of_variable("V", "Host=s3cret").expect_err("reserved").to_string();
        assert!(error.contains("host is set by the push itself"), "{error}");
    }

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("headers");
        std::fs::write(&path, "# ours\n\nAuthorization: Bearer one\n").expect("writable");
        let mut headers = Headers::of_file(&path).expect("headers");
        let shown = format!("{headers:?}");
        assert!(!shown.contains("one"), "{shown}");
        std::fs::write(&path, "Authorization: Bearer two\n").expect("writable");
        assert_eq!(headers.now().0["authorization"], "Bearer two");
        std::fs::write(&path, "s3cret").expect("writable");
        let (last, error) = headers.now();
        let error = error.expect("no header");
        assert!(!error.to_string().contains("s3cret"), "{error}");
        assert_eq!(last["authorization"], "Bearer two");
        assert!(Headers::of_file(Path::new("/dev/zero")).is_err());
    }
}
