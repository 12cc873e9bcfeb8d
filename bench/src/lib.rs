//! What things cost, measured beside named peers.
//!
//! The programs in `src/bin` are harnesses: each starts the real binaries and their peers, drives
//! them in interleaved rounds, and prints ratios. They must never be part of `cargo test`, because
//! time on a shared machine proves nothing; the book's benchmark pages carry what they printed.
//!
//! Modules in reading order: [`proxy`] starts and measures a sidecar and its peers, [`local_mode`]
//! drives `tidegate run`.

pub mod local_mode;
pub mod proxy;
