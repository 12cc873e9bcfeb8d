//! The secret that a controller shares with its clients.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use rustls::crypto::ring;
use subtle::ConstantTimeEq;
use tidegate_knative::environment::{TIDEGATE_SECRET, TIDEGATE_SECRET_FILE};

/// The variable that holds the secret itself.
pub const SECRET_VARIABLE: &str = TIDEGATE_SECRET;

/// The variable that names the file with the secret in it. It takes precedence over
/// [`SECRET_VARIABLE`].
pub const SECRET_FILE_VARIABLE: &str = TIDEGATE_SECRET_FILE;

/// Shortest secret. Sixteen characters of hexadecimal are 64 bits: beyond guessing over a network.
pub const SECRET_BYTES_MIN: usize = 16;

/// Longest secret. A token of a cluster's ServiceAccount, which is shown in its place, has some
/// 1,300 characters, and a header field of this length fits everywhere.
pub const SECRET_BYTES_MAX: usize = 4_096;

/// Longest file that is read for a secret, which leaves room for blank lines around it.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of randomness in a generated secret: what a 256-bit key has.
const RANDOM_BYTES: usize = 32;

/// The HTTP authentication scheme of a secret whose holder is admitted (RFC 6750).
const SCHEME: &str = "Bearer ";

/// A secret shared by a controller and all clients that it admits. It is never printed.
#[derive(Clone)]
pub struct Secret {
    text: String,
    bearer: HeaderValue,
}

/// Why a secret cannot be used. What was given is never repeated.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// It is too short to be one, or too long.
    #[error(
        "{origin} has {length} characters: expected {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, such \
         as those of `openssl rand -hex 32`"
    )]
    Length {
        /// Where the secret came from.
        origin: String,
        /// How long it is, in bytes.
        length: usize,
    },
    /// It cannot be sent in a header.
    #[error("{origin} has blanks or characters that cannot be printed: expected printable ASCII")]
    Characters {
        /// Where the secret came from.
        origin: String,
    },
    /// There is no randomness to make one of.
    #[error("the system gives no random numbers to make a secret of")]
    Random,
}

impl Secret {
    /// A secret of the characters of `text`; `origin` says in errors where they came from.
    ///
    /// # Errors
    ///
    /// When it is shorter than [`SECRET_BYTES_MIN`], longer than [`SECRET_BYTES_MAX`], or not of
    /// printable ASCII without blanks.
    pub fn new(text: &str, origin: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        let origin = || origin.to_owned();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&text.len()) {
            return Err(SecretError::Length { origin: origin(), length: text.len() });
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Characters { origin: origin() });
        }
        let bearer = HeaderValue::from_str(&format!("{SCHEME}{text}"));
        let mut bearer = bearer.map_err(|_| SecretError::Characters { origin: origin() })?;
        bearer.set_sensitive(true);
        Ok(Self { text: text.to_owned(), bearer })
    }

    /// The secret in a file; blanks and line ends around it are no part of it.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or as [`Secret::new`].
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| SecretError::File { path: path.to_owned(), source })?;
        Self::new(&text, &format!("the secret file {}", path.display()))
    }

    /// A new secret of 256 random bits.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn random() -> Result<Self, SecretError> {
        let bytes = random_bytes::<RANDOM_BYTES>()?;
        Self::new(&hexadecimal(&bytes), "a random secret")
    }

    /// The characters themselves, to hand them to a process that is to be admitted.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The value of an `authorization` header that shows it.
    #[must_use]
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    /// Whether an `authorization` header shows this secret. The time that takes depends on the
    /// length of what was given, and on nothing that is secret.
    #[must_use]
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, given)) = authorization.split_at_checked(SCHEME.len()) else {
            return false;
        };
        // RFC 9110 has schemes in any case.
        scheme.eq_ignore_ascii_case(SCHEME.as_bytes())
            && bool::from(self.text.as_bytes().ct_eq(given))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Bytes from the random number generator of the system.
///
/// # Errors
///
/// When the system has no randomness.
pub fn random_bytes<const LENGTH: usize>() -> Result<[u8; LENGTH], SecretError> {
    let mut bytes = [0; LENGTH];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| SecretError::Random).map(|()| bytes)
}

/// Bytes as text that fits everywhere: two lower-case digits each.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef-SECRET";

    #[test]
    fn only_the_whole_secret_is_taken() {
        let secret = Secret::new(TEXT, "test").expect("valid");
        for good in [format!("Bearer {TEXT}"), format!("bearer {TEXT}")] {
            assert!(secret.is_shown_by(good.as_bytes()), "{good}");
        }
        let bad = ["", "Bearer", "Bearer ", "Basic x", TEXT, "Bearer 0123456789abcdef"];
        for bad in bad.map(str::to_owned).into_iter().chain([
            format!("Bearer {TEXT}x"),
            format!("Bearer  {TEXT}"),
            format!("Bearer{TEXT}"),
            format!("Bearer {}", TEXT.to_uppercase()),
        ]) {
            assert!(!secret.is_shown_by(bad.as_bytes()), "{bad}");
        }
        assert!(secret.is_shown_by(secret.bearer().as_bytes()));
    }

    #[test]
    fn it_is_never_printed() {
        let secret = Secret::new(TEXT, "test").expect("valid");
        assert!(!format!("{secret:?} {:?}", secret.bearer()).contains("SECRET"));
        for bad in ["SECRET-too-short", "SECRET with blanks in it", "SECRET\u{7}-with-a-bell-in"] {
            let shown = Secret::new(&bad[..bad.len().min(30)], "it").map_err(|e| e.to_string());
            let Err(shown) = shown else { continue };
            assert!(!shown.contains("SECRET"), "{shown}");
        }
    }

    #[test]
    fn what_is_too_short_or_cannot_be_sent_is_refused() {
        let long = "x".repeat(SECRET_BYTES_MAX + 1);
        for bad in
            ["", "short", "fifteen-charact", "a secret with blanks", "sécret-of-letters", &long]
        {
            assert!(Secret::new(bad, "test").is_err(), "{bad:?}");
        }
        assert!(Secret::new("  sixteen-charact1\n", "test").is_ok(), "blanks around it");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = Secret::read(Path::new("/no/such/file")).expect_err("it is missing");
        assert!(missing.to_string().contains("/no/such/file"), "{missing}");
        let endless = Secret::read(Path::new("/dev/zero")).expect_err("it is no secret");
        assert!(endless.to_string().contains("expected 16 to 4096"), "{endless}");
    }

    #[test]
    fn random_ones_differ() {
        let one = Secret::random().expect("randomness");
        assert!(one.reveal().len() == 64 && one.reveal() != Secret::random().expect("x").reveal());
    }
}
