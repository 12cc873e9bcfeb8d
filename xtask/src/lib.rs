//! What the project's checks share.
//!
//! The rules themselves are tests (`xtask/tests`); the recipes are in the program of this package.
//! This library only reads the project's own sources for them, and must never change a file.

pub mod module_graph;
pub mod sources;
