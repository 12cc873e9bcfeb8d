//! The sidecar: enforces container concurrency and reports request statistics.

pub mod gate;
