//! Modules lean one way: of those that name each other in a circle none can be read alone.
//!
//! A parent and its child may name each other, and for now the pairs that are listed here.

use xtask::module_graph::ModuleGraph;
use xtask::sources::{files, workspace_root};

/// Pairs beside each other that name each other, by their crates. This list may only shrink.
const PAIRS: &[(&str, [&str; 2])] = &[
    ("kubernetes", ["adapters", "run"]),
    ("kubernetes", ["reconciler", "recorder"]),
    ("kubernetes", ["rival", "world"]),
    ("kubernetes/fake", ["server", "stream"]),
    ("rollout", ["explain", "rollout"]),
];

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

/// Whether one of two modules contains the other.
fn is_parent_and_child(circle: &[String]) -> bool {
    let [one, other] = circle else { return false };
    let contains =
        |parent: &str, child: &str| child.rsplit_once('/').is_some_and(|it| it.0 == parent);
    contains(one, other) || contains(other, one)
}

#[test]
fn modules_name_each_other_only_as_parent_and_child() {
    let crates = crates();
    assert!(crates.iter().any(|name| name == "autoscaler"), "{crates:?}");
    let circles: Vec<(&String, Vec<String>)> = crates
        .iter()
        .flat_map(|name| {
            let circles = ModuleGraph::of_crate(name).circles().into_iter();
            circles.filter(|circle| !is_parent_and_child(circle)).map(move |circle| (name, circle))
        })
        .collect();
    let is = |(name, circle): &(&String, Vec<String>), (crate_name, pair): &(&str, [&str; 2])| {
        *name == crate_name && circle == pair
    };
    for known in PAIRS {
        assert!(circles.iter().any(|circle| is(circle, known)), "{known:?} is untied: unlist it");
    }
    let new = circles.iter().filter(|circle| !PAIRS.iter().any(|known| is(circle, known)));
    let wrong: Vec<String> = new
        .map(|(name, circle)| format!("`{name}`: modules name each other round: {circle:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
