//! Which of several controllers a revision belongs to.
//!
//! Controllers that divide the revisions among them, and all who speak to them, must agree on whose
//! a revision is without asking each other. So it follows from its name and from how many shards
//! there are, by one function, [`owner()`]; what it returns is a part of the wire contract, and
//! never changes.
//!
//! It must never read a clock, speak to anybody, or know what a controller is.
//!
//! Modules in reading order: [`owner`](mod@owner) is whose a revision is, [`mod@shard`] is one of
//! the shards, [`addresses()`] is how people write where all of them are.

pub mod addresses;
pub mod owner;
pub mod shard;

pub use addresses::{AddressesError, addresses};
pub use owner::{owner, place};
pub use shard::{SHARDS_MAX, Shard, ShardError};
