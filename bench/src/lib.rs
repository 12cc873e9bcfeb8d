//! Cost harness.

pub mod local_mode;
pub mod proxy;
