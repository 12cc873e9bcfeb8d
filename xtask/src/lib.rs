//! What the project's checks share.
//!
//! The rules themselves are tests (`xtask/tests`); the recipes are in the program of this package,
//! the one for [`fuzz`] targets beside it. [`sources`] reads the project's own sources for the
//! rules. Nothing here may change a file that is committed.

pub mod fuzz;
pub mod module_graph;
pub mod sources;
