//! Nothing is depended on that nothing uses.
//!
//! The story: six entries of the workspace's table had outlived their last user, and two manifests
//! named crates that no line of theirs did; each of them is foreign code to be watched.

use std::collections::BTreeSet;

use xtask::sources::{Source, files};

/// A workspace of its own.
const APART: &str = "fuzz";

/// Every manifest of the workspace with its directory; that of the workspace itself has none.
fn manifests() -> Vec<(String, toml::Table)> {
    let found = files("", &["toml"]).into_iter().filter_map(|file| {
        let directory = file.path.parent()?.to_str()?.to_owned();
        let counts = file.path.ends_with("Cargo.toml") && directory != APART;
        counts.then(|| (directory, file.text.parse().expect("a manifest is TOML")))
    });
    found.collect()
}

/// The directories of crates that lie inside another one's.
fn is_of_another(path: &str, directory: &str, all: &[(String, toml::Table)]) -> bool {
    all.iter()
        .any(|(other, _)| other.len() > directory.len() && path.starts_with(&format!("{other}/")))
}

/// The names in every table of dependencies, those of targets included.
fn named(manifest: &toml::Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        match key.as_str() {
            "dependencies" | "dev-dependencies" | "build-dependencies" => {
                names.extend(table.keys().cloned());
            }
            "target" => {
                names.extend(table.values().filter_map(|t| t.as_table()).flat_map(named));
            }
            _ => {}
        }
    }
    names
}

#[test]
fn the_workspace_names_nothing_that_no_member_uses() {
    let manifests = manifests();
    let (_, root) = manifests.iter().find(|(at, _)| at.is_empty()).expect("the workspace's own");
    let table = root["workspace"]["dependencies"].as_table().expect("a table");
    let used: BTreeSet<String> = manifests.iter().flat_map(|(_, m)| named(m)).collect();
    let unused: Vec<&String> = table.keys().filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "no member depends on {unused:?}: take it out of Cargo.toml");
}

#[test]
fn members_depend_on_nothing_that_they_do_not_name() {
    let manifests = manifests();
    let examples = files("examples", &["rs"]);
    let mut unnamed = Vec::new();
    for (directory, manifest) in manifests.iter().filter(|(directory, _)| !directory.is_empty()) {
        let sources: Vec<Source> = files(directory, &["rs"])
            .into_iter()
            .filter(|source| !is_of_another(&source.path.to_string_lossy(), directory, &manifests))
            .collect();
        let missing = named(manifest).into_iter().filter(|name| {
            let identifier = name.replace('-', "_");
            !sources.iter().chain(&examples).any(|source| names(&source.text, &identifier))
        });
        unnamed.extend(missing.map(|name| format!("{directory} depends on {name}")));
    }
    assert!(unnamed.is_empty(), "and no line names it: {unnamed:#?}");
}

/// Whether a text has the identifier, and not only as a part of another.
fn names(text: &str, identifier: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(identifier).any(|(start, found)| {
        let before = text[..start].chars().next_back().is_some_and(inside);
        let after = text[start + found.len()..].chars().next().is_some_and(inside);
        !before && !after
    })
}
