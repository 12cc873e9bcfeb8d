//! Reads the project's own sources for the rules that are tests.

use std::path::{Path, PathBuf};

/// One source file.
#[derive(Debug)]
pub struct Source {
    /// Where it lies, relative to the workspace.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Source {
    /// Numbered lines of code before the first test module, comments left out.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line))
    }
}

/// The directory of the workspace's manifest.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").into()
}

/// Every Rust file below a directory of the workspace, in a stable order. Files of tests that stand
/// beside the code (`foo/tests.rs`, `foo/tests/*.rs`) are left out.
pub fn rust_sources(directory: &str) -> Vec<Source> {
    files(directory, &["rs"])
        .into_iter()
        .filter(|source| {
            let path = source.path.to_string_lossy().into_owned();
            !path.ends_with("/tests.rs") && !path.contains("/tests/")
        })
        .collect()
}

/// Every file with one of the endings below a directory of the workspace, in a stable order.
pub fn files(directory: &str, endings: &[&str]) -> Vec<Source> {
    let root = workspace_root();
    let mut found = Vec::new();
    collect(&root.join(directory), &mut found);
    found.sort();
    found
        .into_iter()
        .filter(|path| {
            path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
        })
        .filter_map(|path| {
            let text = std::fs::read_to_string(&path).ok()?;
            let path = path.strip_prefix(&root).unwrap_or(&path).to_path_buf();
            Some(Source { path, text })
        })
        .collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let skipped = ["target", ".git", "book", "corpus", "artifacts"];
        if path.is_dir() && !skipped.iter().any(|skip| name == *skip) {
            collect(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}
