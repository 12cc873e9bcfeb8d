//! What things cost, measured beside named peers.
//!
//! The programs in `src/bin` are harnesses: each starts the real binaries and their peers, drives
//! them in interleaved rounds, and prints ratios. They must never be part of `cargo test`, because
//! time on a shared machine proves nothing; the book's benchmark pages carry what they printed.
//! What counts and never times may be: a small run of [`cycles`] is.
//!
//! Modules in reading order: [`proxy`] starts and measures a sidecar and its peers, [`local_mode`]
//! drives `tidegate run`, [`controller`] reports to a controller, [`cycles`] kills roles and
//! instances while it counts requests, [`far_path`] is a network whose round trips take their time,
//! and [`far`] an activator before instances behind it. [`built`] finds the programs for tests.

pub mod built;
pub mod controller;
pub mod cycles;
pub mod far;
pub mod far_path;
pub mod local_mode;
pub mod proxy;
