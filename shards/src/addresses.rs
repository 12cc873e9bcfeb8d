//! How people write where all shards are: `a:9400,b:9400;c:9400;d:9400` are three shards, of which
//! the first has two addresses and is at one of them.

use crate::shard::SHARDS_MAX;

/// What lies between the addresses of two shards. Between those of one shard lies a comma.
pub const SEPARATOR: char = ';';

/// Why addresses cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressesError {
    /// A shard has none.
    #[error("shard {0} has no address: expected one between two semicolons")]
    Missing(usize),
    /// There are too many shards.
    #[error("there are more than {SHARDS_MAX} shards")]
    Count,
}

/// The addresses of each shard, in the order of their numbers, as they were written. Never empty,
/// and no more than [`SHARDS_MAX`].
///
/// # Errors
///
/// When a shard has no address, or there are too many. One shard may have an empty text: whoever
/// reads the address says what is wrong with it.
pub fn addresses(text: &str) -> Result<Vec<&str>, AddressesError> {
    let all: Vec<&str> = text.split(SEPARATOR).take(usize::from(SHARDS_MAX) + 1).collect();
    if all.len() > usize::from(SHARDS_MAX) {
        return Err(AddressesError::Count);
    }
    match all.iter().position(|address| address.trim().is_empty()) {
        Some(at) if all.len() > 1 => Err(AddressesError::Missing(at + 1)),
        _ => Ok(all),
    }
}
