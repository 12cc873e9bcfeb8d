//! The front door: holds requests while there is no instance, and balances them.

pub mod door;
pub mod doors;
pub mod identity;
mod reports;
