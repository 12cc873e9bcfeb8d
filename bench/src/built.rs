//! Programs of this workspace, for tests of this package that start them.

use std::path::PathBuf;

/// The program of this name, which lies where the calling test's folder does: `cargo test
/// --workspace` builds both.
///
/// # Panics
/// When it is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test is a program");
    let folder = own.ancestors().nth(2).expect("tests lie in a folder of the build's");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built: cargo build -p {name}", program.display());
    program
}
