//! What the project's checks share.
//!
//! The rules themselves are tests (`xtask/tests`); the recipes are in the program of this package,
//! those for [`fuzz`] targets, [`images`] and [`packages`] beside it, with `platform`, which
//! programs are built for, and `tool`, how others are run. [`sources`] reads the
//! project's own sources for the rules. Nothing here may change a file that is committed.

pub mod fuzz;
pub mod images;
pub mod module_graph;
pub mod packages;
mod platform;
pub mod sources;
mod tool;
