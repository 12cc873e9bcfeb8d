//! One of several shards.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::owner::owner;

/// Most shards: an activator keeps a connection to each, and the weight of each is computed for
/// every look-up. At 50,000 instances each, 64 of them are for three million.
pub const SHARDS_MAX: u16 = 64;

/// One shard, by its number from 1 on, of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: NonZeroU16,
    of: NonZeroU16,
}

/// What is no shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// It is not written as one.
    #[error("expected NUMBER/SHARDS, such as 2/3 for the second of three")]
    Form,
    /// There is no shard of that number.
    #[error("there is no shard {number} of {of}: expected a number from 1 to {of}")]
    Number {
        /// The number that was given.
        number: u32,
        /// How many there are.
        of: u32,
    },
    /// There are none, or too many.
    #[error("expected 1 to {SHARDS_MAX} shards, not {0}")]
    Count(u32),
}

impl Shard {
    /// The only one: all revisions are its own.
    pub const ONLY: Self = Self { number: NonZeroU16::MIN, of: NonZeroU16::MIN };

    /// Shard `number`, from 1 on, of so many.
    ///
    /// # Errors
    ///
    /// When there is none of that number, or there are too many.
    pub fn new(number: u32, of: u32) -> Result<Self, ShardError> {
        let within = |value: u32| u16::try_from(value).ok().and_then(NonZeroU16::new);
        let Some(shards) = within(of).filter(|of| of.get() <= SHARDS_MAX) else {
            return Err(ShardError::Count(of));
        };
        match within(number) {
            Some(number) if number <= shards => Ok(Self { number, of: shards }),
            _ => Err(ShardError::Number { number, of }),
        }
    }

    /// Its number, from 1 on.
    #[must_use]
    pub fn number(self) -> NonZeroU16 {
        self.number
    }

    /// How many there are.
    #[must_use]
    pub fn of(self) -> NonZeroU16 {
        self.of
    }

    /// The shard of the same division that a revision belongs to.
    #[must_use]
    pub fn owner(self, namespace: &str, name: &str) -> Self {
        Self { number: owner(namespace, name, self.of), of: self.of }
    }

    /// Whether a revision is its own.
    #[must_use]
    pub fn owns(self, namespace: &str, name: &str) -> bool {
        self.owner(namespace, name) == self
    }
}

impl Default for Shard {
    /// The only one.
    fn default() -> Self {
        Self::ONLY
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.trim().split_once('/').ok_or(ShardError::Form)?;
        let read = |digits: &str| digits.parse().map_err(|_| ShardError::Form);
        Self::new(read(number)?, read(of)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.number, self.of)
    }
}
