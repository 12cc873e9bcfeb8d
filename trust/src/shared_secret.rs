//! The secret of a controller and its clients, as configured: given once, or in a file that is read
//! anew, so that it can be replaced while both ends run.
//!
//! The two ends do not read a new file at the same moment. So a client presents what its file holds
//! when it connects, and a controller accepts the previous secret for [`OVERLAP`] after it found
//! the new one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::renewed::Renewed;
use crate::secret::{SECRET_VARIABLE, Secret, SecretError};
use crate::token::{self, Scope, TokenError};

/// How long a controller accepts the previous secret, once its file holds another. A kubelet takes
/// two minutes at most to update a mounted secret; this is five times as long.
pub const OVERLAP: Duration = Duration::from_secs(600);

/// A secret, given or in a file. Clones share it.
#[derive(Clone)]
pub struct SharedSecret {
    origin: Origin,
}

#[derive(Clone)]
enum Origin {
    Given(Secret),
    File(Arc<Renewed<Generations>>),
}

/// What a file holds, and what it held before.
struct Generations {
    current: Secret,
    /// And when it was replaced.
    previous: Option<(Secret, Instant)>,
}

impl SharedSecret {
    /// The secret in the file at `path`, read anew when it changes.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or holds no secret.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let path = path.to_owned();
        let mut seen = Secret::read(&path)?;
        let value = Generations { current: seen.clone(), previous: None };
        let named = vec![path.clone()];
        let check = move || {
            let current = Secret::read(&path).map_err(|error| error.to_string())?;
            if current.reveal() == seen.reveal() {
                return Ok(None);
            }
            let before = std::mem::replace(&mut seen, current.clone());
            Ok(Some(Generations { current, previous: Some((before, Instant::now())) }))
        };
        let renewed = Renewed::watching("secrets", named, value, check);
        Ok(Self { origin: Origin::File(Arc::new(renewed)) })
    }

    /// The secret that a file or a variable holds; the file wins. An empty variable is absent.
    ///
    /// # Errors
    ///
    /// As [`SharedSecret::read`] and [`Secret::new`].
    pub fn configured(
        file: Option<&Path>,
        variable: Option<&str>,
    ) -> Result<Option<Self>, SecretError> {
        match (file, variable.filter(|text| !text.is_empty())) {
            (Some(path), _) => Self::read(path).map(Some),
            (None, Some(text)) => Ok(Some(Secret::new(text, SECRET_VARIABLE)?.into())),
            (None, None) => Ok(None),
        }
    }

    /// The secret as it was read last.
    #[must_use]
    pub fn current(&self) -> Secret {
        match &self.origin {
            Origin::Given(secret) => secret.clone(),
            Origin::File(renewed) => renewed.current().current.clone(),
        }
    }

    /// The secret to show now: that of its file, if there is one. Must be called within a tokio
    /// runtime. Cancel safe.
    pub async fn renewed(&self) -> Secret {
        match &self.origin {
            Origin::Given(secret) => secret.clone(),
            Origin::File(renewed) => renewed.renewed().await.current.clone(),
        }
    }

    /// Checks the file every `every`, for ever; without a file it only waits. Must be called
    /// within a tokio runtime. Cancel safe.
    pub async fn watch(self, every: Duration) {
        match self.origin {
            Origin::Given(_) => std::future::pending().await,
            Origin::File(renewed) => renewed.watch(every).await,
        }
    }

    /// Whether an `authorization` header shows this secret, or at `now` still the one before.
    #[must_use]
    pub fn is_shown_by(&self, authorization: &[u8], now: Instant) -> bool {
        self.find(now, |secret| secret.is_shown_by(authorization).then_some(())).is_some()
    }

    /// What a [`token`] of this secret is for, or at `now` still of the one before; `clock` is
    /// the time that tokens expire by.
    ///
    /// # Errors
    ///
    /// When it is of neither, or has expired.
    pub fn scope_of(
        &self,
        token: &str,
        now: Instant,
        clock: SystemTime,
    ) -> Result<Scope, TokenError> {
        let ours = |secret: &Secret| match token::check(secret, token, clock) {
            Err(TokenError::Foreign) => None,
            checked => Some(checked),
        };
        self.find(now, ours).unwrap_or(Err(TokenError::Foreign))
    }

    /// Looks at the secrets that count at `now` until something is found: at the present one, and
    /// for a while at the one before.
    fn find<T>(&self, now: Instant, look: impl Fn(&Secret) -> Option<T>) -> Option<T> {
        match &self.origin {
            Origin::Given(secret) => look(secret),
            Origin::File(renewed) => {
                let Generations { current, previous } = &*renewed.current();
                let is_good = |replaced| now.saturating_duration_since(replaced) < OVERLAP;
                let previous = previous.as_ref().filter(|(_, replaced)| is_good(*replaced));
                look(current).or_else(|| previous.and_then(|(before, _)| look(before)))
            }
        }
    }
}

impl From<Secret> for SharedSecret {
    fn from(secret: Secret) -> Self {
        Self { origin: Origin::Given(secret) }
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SharedSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<u8> {
        format!("Bearer {text}").into_bytes()
    }

    #[tokio::test]
    async fn a_file_is_read_anew_and_the_secret_before_is_taken_for_a_while() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |text: &str| std::fs::write(file.path(), text).expect("writable");
        write("of-the-file-0123456789\n");
        let secret = SharedSecret::read(file.path()).expect("valid");
        let (old, new) = (shown("of-the-file-0123456789"), shown("another-one-0123456789"));
        let takes = |header: &[u8], after| secret.is_shown_by(header, Instant::now() + after);
        assert!(takes(&old, OVERLAP * 9) && !takes(&new, Duration::ZERO));
        // What is no secret changes nothing, nor does a file that is not there for a moment.
        write("short");
        assert_eq!(secret.renewed().await.reveal(), "of-the-file-0123456789");
        write("another-one-0123456789\n");
        assert_eq!(secret.renewed().await.reveal(), "another-one-0123456789");
        assert!(takes(&new, Duration::ZERO) && takes(&old, Duration::ZERO));
        assert!(takes(&new, OVERLAP) && !takes(&old, OVERLAP), "only for a while");
        // A second change ends the first secret at once: two are never three.
        write("a-third-one-0123456789\n");
        assert_eq!(secret.renewed().await.reveal(), "a-third-one-0123456789");
        assert!(takes(&new, Duration::ZERO) && !takes(&old, Duration::ZERO));
        assert_eq!(format!("{secret:?}"), "SharedSecret(…)");
    }

    #[test]
    fn the_file_wins_and_what_is_empty_is_absent() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "of-the-file-0123456789\n").expect("writable");
        let both = SharedSecret::configured(Some(file.path()), Some("of-the-variable-0123"));
        let both = both.expect("valid").expect("there is one");
        assert!(both.is_shown_by(&shown("of-the-file-0123456789"), Instant::now()));
        assert!(SharedSecret::configured(None, Some("")).expect("valid").is_none());
        assert!(SharedSecret::configured(None, None).expect("valid").is_none());
        std::fs::write(file.path(), "\n").expect("writable");
        let empty = SharedSecret::configured(Some(file.path()), None).expect_err("it is empty");
        assert!(empty.to_string().contains("0 characters"), "{empty}");
    }
}
