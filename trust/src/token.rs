//! Tokens that a controller's secret is not given away with: each lets its holder do one thing.
//!
//! A token says what it is for and until when, and has a signature that only a holder of the secret
//! can make (HMAC-SHA-256). A controller needs nothing but its secret to check one, and keeps no
//! list. It travels where a secret would: in the file or variable of a client, and as
//! `authorization: Bearer …`.
//!
//! ```text
//! tidegate:revision:prod/web:1798761600:8f3c…
//!          what it is for     until      signature
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::hmac::{HMAC_SHA256, Key, sign, verify};

use crate::secret::{Secret, SecretError, hexadecimal};

/// What every token begins with. A secret that begins so counts as itself first.
const PREFIX: &str = "tidegate:";

/// The time of a token that never expires.
const NEVER: u64 = 0;

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Report as instances of one revision.
    Revision {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Report as instances of any revision of one namespace.
    Namespace(String),
    /// Be an activator: report for all revisions, and be told their instances.
    Activator,
    /// Ask: decisions, reasons, routes. Nothing is changed by it.
    Questions,
}

/// Why what was typed names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected revision:NAMESPACE/NAME, namespace:NAME, activator or questions")]
pub struct NotAScope;

/// Why a token is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none of this secret, or was changed.
    #[error("the token that was shown is not of this controller's secret")]
    Foreign,
    /// Its time is over.
    #[error(
        "the token that was shown has expired {} s ago; `tidegate token` makes another",
        .0.as_secs()
    )]
    Expired(Duration),
}

/// Whether it can stand in a token without being read as something else. What a name may be beyond
/// that is the controller's to say.
fn is_name(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_graphic() && !b":/".contains(&byte);
    !text.is_empty() && text.bytes().all(is_byte)
}

impl FromStr for Scope {
    type Err = NotAScope;

    fn from_str(text: &str) -> Result<Self, NotAScope> {
        match text.split_once(':') {
            None if text == "activator" => Ok(Self::Activator),
            None if text == "questions" => Ok(Self::Questions),
            Some(("namespace", name)) if is_name(name) => Ok(Self::Namespace(name.to_owned())),
            Some(("revision", both)) => match both.split_once('/') {
                Some((namespace, name)) if is_name(namespace) && is_name(name) => {
                    Ok(Self::Revision { namespace: namespace.to_owned(), name: name.to_owned() })
                }
                _ => Err(NotAScope),
            },
            _ => Err(NotAScope),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision { namespace, name } => write!(f, "revision:{namespace}/{name}"),
            Self::Namespace(name) => write!(f, "namespace:{name}"),
            Self::Activator => f.write_str("activator"),
            Self::Questions => f.write_str("questions"),
        }
    }
}

fn key(secret: &Secret) -> Key {
    Key::new(HMAC_SHA256, secret.reveal().as_bytes())
}

fn bytes_of(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

/// A token of `secret` for `scope`; with `until` it is good before that moment, by the second.
///
/// # Errors
///
/// When names are so long that it would be no secret that can be shown.
pub fn issue(
    secret: &Secret,
    scope: &Scope,
    until: Option<SystemTime>,
) -> Result<Secret, SecretError> {
    let until = until.map_or(NEVER, |until| {
        // What is before 1970 has expired.
        until.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs().max(1))
    });
    let said = format!("{PREFIX}{scope}:{until}");
    let signature = sign(&key(secret), said.as_bytes());
    Secret::new(&format!("{said}:{}", hexadecimal(signature.as_ref())), "a token")
}

/// Whether `text` looks like a token, of whatever secret.
#[must_use]
pub fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// What a token of `secret` is for.
///
/// # Errors
///
/// It is not of this secret, or has expired at `now`. The time that takes depends on nothing that
/// is secret.
pub fn check(secret: &Secret, token: &str, now: SystemTime) -> Result<Scope, TokenError> {
    let (said, signature) = token.rsplit_once(':').ok_or(TokenError::Foreign)?;
    let signature = bytes_of(signature).ok_or(TokenError::Foreign)?;
    verify(&key(secret), said.as_bytes(), &signature).map_err(|_| TokenError::Foreign)?;
    // From here on we wrote it ourselves.
    let said = said.strip_prefix(PREFIX).ok_or(TokenError::Foreign)?;
    let (scope, until) = said.rsplit_once(':').ok_or(TokenError::Foreign)?;
    let until: u64 = until.parse().map_err(|_| TokenError::Foreign)?;
    let scope = scope.parse().map_err(|NotAScope| TokenError::Foreign)?;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match until == NEVER || seconds < until {
        true => Ok(scope),
        false => Err(TokenError::Expired(Duration::from_secs(seconds - until))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text, "a test").expect("valid")
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn scopes() -> [Scope; 4] {
        let revision = Scope::Revision { namespace: "prod".into(), name: "web.v1".into() };
        [revision, Scope::Namespace("prod".into()), Scope::Activator, Scope::Questions]
    }

    #[test]
    fn what_was_issued_is_taken_until_its_time_and_by_its_secret_alone() {
        let (ours, other) = (secret("0123456789abcdef"), secret("0123456789abcdeg"));
        for scope in scopes() {
            let for_ever = issue(&ours, &scope, None).expect("issued");
            assert!(is_token(for_ever.reveal()));
            assert_eq!(check(&ours, for_ever.reveal(), at(u64::MAX / 4)), Ok(scope.clone()));
            let foreign = check(&other, for_ever.reveal(), at(1));
            assert_eq!(foreign, Err(TokenError::Foreign));
            let hour = issue(&ours, &scope, Some(at(3_600))).expect("issued");
            assert_eq!(check(&ours, hour.reveal(), at(3_599)), Ok(scope));
            let late = check(&ours, hour.reveal(), at(3_605));
            assert_eq!(late, Err(TokenError::Expired(Duration::from_secs(5))));
        }
        let before = issue(&ours, &Scope::Activator, Some(at(0))).expect("issued");
        assert!(check(&ours, before.reveal(), at(10)).is_err(), "1970 is not for ever");
    }

    #[test]
    fn no_part_of_a_token_can_be_changed() {
        let ours = secret("0123456789abcdef");
        let token = issue(&ours, &"revision:prod/web".parse().expect("a scope"), Some(at(9)));
        let token = token.expect("issued").reveal().to_owned();
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] ^= 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(check(&ours, &changed, at(1)).is_err(), "{changed}");
        }
        for cut in 0..token.len() {
            assert!(check(&ours, &token[..cut], at(1)).is_err(), "{cut}");
        }
        for more in ["0", "00", ":", ":0"] {
            assert!(check(&ours, &format!("{token}{more}"), at(1)).is_err(), "{more}");
        }
    }

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for scope in scopes() {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for bad in [
            "",
            "revision",
            "revision:web",
            "revision:/web",
            "revision:a/b/c",
            "namespace:",
            "namespace:a b",
            "activator:x",
            "questions:",
            "all",
        ] {
            assert_eq!(bad.parse::<Scope>(), Err(NotAScope), "{bad}");
        }
    }
}
