//! Identities: revisions, their instances, and their report streams.

use std::fmt;
use std::sync::Arc;

use tidegate_proto::stats::v1 as wire;

/// Longest name of a namespace, revision or instance, as Kubernetes bounds its own.
pub const NAME_BYTES_MAX: usize = 253;

/// A revision: one version of one app, scaled as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RevisionId {
    // Shared: one allocation per name, however many maps hold it.
    namespace: Arc<str>,
    name: Arc<str>,
}

/// A name that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} {given:?} cannot be used: expected 1 to {NAME_BYTES_MAX} {}",
    .characters.expected()
)]
pub struct NameError {
    what: &'static str,
    given: String,
    characters: Characters,
}

/// What a name may be made of. All of it is ASCII: nothing else looks the same to everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Characters {
    /// What Kubernetes and the people of local mode use. A slash would make `a/b/c` two revisions.
    Plain,
    /// Anything that can be seen: instances are also named for hosts and ports.
    Visible,
}

impl Characters {
    fn include(self, byte: u8) -> bool {
        match self {
            Self::Plain => byte.is_ascii_alphanumeric() || b"-_.".contains(&byte),
            Self::Visible => byte.is_ascii_graphic(),
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Plain => "letters, digits, `-`, `_` and `.`",
            Self::Visible => "printable ASCII characters without blanks",
        }
    }
}

impl RevisionId {
    /// The revision `name` of `namespace`.
    ///
    /// # Errors
    ///
    /// When one of them is empty, too long, or has other characters than letters, digits, `-`, `_`
    /// and `.`.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        check_namespace(namespace)?;
        check("revision name", name, Characters::Plain)?;
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

impl TryFrom<wire::Revision> for RevisionId {
    type Error = NameError;

    fn try_from(revision: wire::Revision) -> Result<Self, NameError> {
        Self::new(&revision.namespace, &revision.name)
    }
}

impl From<&RevisionId> for wire::Revision {
    fn from(id: &RevisionId) -> Self {
        Self { namespace: id.namespace.to_string(), name: id.name.to_string() }
    }
}

/// One instance, named uniquely among those of one controller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(Arc<str>);

impl InstanceName {
    /// An instance called `name`.
    ///
    /// # Errors
    ///
    /// When it is empty, too long, or has other characters than visible ones of ASCII.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check("instance name", name, Characters::Visible)?;
        Ok(Self(name.into()))
    }

    /// Number `number` of those that the controller started for `revision`.
    #[must_use]
    pub fn numbered(revision: &RevisionId, number: u64) -> Self {
        Self(format!("{}-{number}", revision.name).into())
    }

    /// The name of the revision that it was [numbered](Self::numbered) for.
    #[must_use]
    pub fn revision_name(&self) -> &str {
        self.0.rsplit_once('-').map_or(&*self.0, |(name, _)| name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Distinguishes a reporter from any other of its name: random, and constant for its whole life.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<[u8]>);

/// Shortest token that is taken as one: 128 bits, as a UUID has.
const TOKEN_BYTES_MIN: usize = 16;

/// Longest token.
const TOKEN_BYTES_MAX: usize = 64;

impl Token {
    /// The token in `bytes`; `None` when they are too few to prove anything, or too many to keep.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&bytes.len());
        fits.then(|| Self(bytes.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// One report stream. A number is never used twice while the controller runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReporterId(pub u64);

/// Whether a namespace can be called `name`.
pub(crate) fn check_namespace(name: &str) -> Result<(), NameError> {
    check("namespace", name, Characters::Plain)
}

fn check(what: &'static str, given: &str, characters: Characters) -> Result<(), NameError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&given.len());
    if fits && given.bytes().all(|byte| characters.include(byte)) {
        return Ok(());
    }
    // A name that is refused for its length must not fill the log with it.
    Err(NameError { what, given: given.chars().take(64).collect(), characters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printable_and_bounded() {
        assert!(RevisionId::new("default", "web-0.1_a").is_ok());
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let bad = ["", "a b", "a/b", "w\u{435}b", "a\u{202e}b", "a\u{200b}", "a\u{301}", &long];
        for bad in bad {
            assert!(RevisionId::new("default", bad).is_err(), "{bad:?}");
            assert!(RevisionId::new(bad, "web").is_err(), "{bad:?}");
        }
        let numbered = InstanceName::numbered(&RevisionId::new("a", "web-v2").expect("valid"), 7);
        assert_eq!((numbered.as_str(), numbered.revision_name()), ("web-v2-7", "web-v2"));
        assert!(InstanceName::new("host.example:8012").is_ok());
        for bad in ["", "a b", "w\u{435}b-1", "a\u{202e}b", &long] {
            assert!(InstanceName::new(bad).is_err(), "{bad:?}");
        }
        let error = InstanceName::new("\u{1b}[2J").expect_err("an escape sequence is no name");
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
