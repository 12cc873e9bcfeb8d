//! Modules lean one way. A circle of three or more is a room that nobody can read alone.
//!
//! Two modules may name each other: a parent and its child, or two halves of one idea.

use xtask::module_graph::ModuleGraph;
use xtask::sources::{files, workspace_root};

/// Circles that were there before the rule. The list may only shrink: a circle that has lost a
/// module is written down without it, one that is gone is taken out.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    (
        "queue-proxy",
        &[
            "logging",
            "otlp",
            "otlp/transport",
            "request_log",
            "settings",
            "settings/observability",
            "tls",
            "trace",
        ],
    ),
    ("queue-proxy", &["probe", "probe/dial", "probe/location", "probe/spec"]),
    ("activator", &["door", "door/recovery", "door/state"]),
    (
        "relay",
        &["exchange", "exchange/abandoned", "exchange/forward", "exchange/pump", "exchange/tunnel"],
    ),
    ("relay", &["upstream", "upstream/dial", "upstream/http2"]),
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

#[test]
fn no_new_circle_of_more_than_two_modules() {
    let crates = crates();
    assert!(crates.iter().any(|name| name == "autoscaler"), "{crates:?}");
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for name in crates.iter().filter(|name| !name.is_empty()) {
        for circle in ModuleGraph::of_crate(name).circles() {
            if circle.len() <= 2 {
                continue;
            }
            let known = EXCEPTIONS.iter().find(|(of, modules)| {
                of == name && circle.iter().all(|module| modules.contains(&module.as_str()))
            });
            match known {
                Some((_, modules)) if modules.len() == circle.len() => seen.push((name, circle)),
                Some(_) => wrong.push(format!("`{name}`: shrink its exception to {circle:?}")),
                None => wrong.push(format!("`{name}`: modules name each other round: {circle:?}")),
            }
        }
    }
    for (name, modules) in EXCEPTIONS {
        let there =
            |(of, circle): &(&String, Vec<String>)| of == name && circle.len() == modules.len();
        if !seen.iter().any(there) && !wrong.iter().any(|text| text.contains("shrink")) {
            wrong.push(format!("`{name}`: take out its exception {modules:?}, it is gone"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
