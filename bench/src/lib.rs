//! Cost harness.

pub mod proxy;
