//! Modules lean one way. Of a circle of three or more no module can be read alone.
//!
//! Two modules may name each other: a parent and its child, or two halves of one idea.

use xtask::module_graph::ModuleGraph;
use xtask::sources::{files, workspace_root};

fn crates() -> Vec<String> {
    let manifests =
        files("", &["toml"]).into_iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let folders =
        manifests.filter_map(|file| file.path.parent().map(|folder| folder.to_path_buf()));
    folders
        .filter(|folder| workspace_root().join(folder).join("src").is_dir())
        .map(|folder| folder.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn no_circle_of_more_than_two_modules() {
    let crates = crates();
    assert!(crates.iter().any(|name| name == "autoscaler"), "{crates:?}");
    let circles = crates.iter().flat_map(|name| {
        let circles = ModuleGraph::of_crate(name).circles().into_iter();
        circles.filter(|circle| circle.len() > 2).map(move |circle| (name, circle))
    });
    let wrong: Vec<String> = circles
        .map(|(name, circle)| format!("`{name}`: modules name each other round: {circle:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
