//! Tells the program which commit it was built from, where it was built from a checkout.
//!
//! A release tarball or a packaged crate has no checkout: the version then says no commit, and
//! nothing fails. Only the commit and its date are told, never the time of the build, so that the
//! same sources give the same program.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let long = match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=TIDEGATE_LONG_VERSION={long}");
}

/// The commit and its date, such as `122a168 2026-11-25`; `None` outside a checkout of ours.
fn commit() -> Option<String> {
    let here = std::env::var("CARGO_MANIFEST_DIR").ok()?;
    // A copy of the sources inside somebody else's checkout is not at that commit.
    let root = git(&here, &["rev-parse", "--show-toplevel"])?;
    let ours = Path::new(&here).parent()?.canonicalize().ok()?;
    if Path::new(&root).canonicalize().ok()? != ours {
        return None;
    }
    let directory = git(&here, &["rev-parse", "--absolute-git-dir"])?;
    // The log of the head changes with every commit and checkout.
    let log = Path::new(&directory).join("logs/HEAD");
    if log.is_file() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    git(&here, &["log", "-1", "--format=%h %cs", "--abbrev=9"])
}

/// What git prints, when it is there and knows.
fn git(directory: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
