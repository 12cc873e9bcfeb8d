//! The front door: holds requests while there is no instance, and balances them.

pub mod door;
pub mod identity;
