//! The architecture, held by tests: who may depend on whom, and what a pure crate may touch.
//!
//! `docs/architecture.md` gives the reasons; a change here is a change of the design.

mod floors;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use xtask::sources::{Source, rust_sources, workspace_root};

use self::floors::FLOORS;

/// Crates that decide: time is an argument, the same inputs give the same outputs.
const PURE: &[&str] =
    &["autoscaler", "admission", "go-text", "knative", "rollout", "shards", "timeline", "words"];

/// Crates that read no clock and do no I/O: those that decide, and the one that asks them.
const DETERMINISTIC: &[&str] = &[
    "autoscaler",
    "admission",
    "go-text",
    "knative",
    "kubernetes/inject",
    "kubernetes/podautoscaler",
    "recording",
    "rollout",
    "routes",
    "scenario",
    "services",
    "shards",
    "timeline",
];

/// What such a crate never names. The simulator's engine is held to the clock and thread rules too.
const BANNED: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "std::time::Instant",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "thread::spawn",
    "tokio::",
    "rand::random",
    "thread_rng",
    "println!",
    "eprintln!",
    "HashMap",
    "HashSet",
];

/// Embedding a pure crate must stay free of charge: at most this many packages in its whole tree.
const PURE_DEPENDENCIES_MAX: usize = 8;

/// What the simulator's engine never brings along: it embeds into tools that draw, unpack and hash
/// by themselves or not at all. Pictures are `sim/report`'s, files are `sim/traffic`'s.
const FOREIGN_TO_THE_ENGINE: &[&str] =
    &["flate2", "jiff", "noto-sans-mono-bitmap", "png", "ruzstd", "sha2", "tiny-skia"];

#[test]
fn packages_depend_downwards_only() {
    for (directory, allowed) in FLOORS {
        let manifest = manifest(directory);
        let allowed: BTreeSet<String> =
            allowed.iter().map(|directory| package(directory)).collect();
        let ours: BTreeSet<String> =
            dependencies(&manifest).filter(|name| name.starts_with("tidegate")).collect();
        let forbidden: Vec<_> = ours.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "`{directory}` may not depend on {forbidden:?}");
    }
}

#[test]
fn every_member_has_a_floor() {
    let root = std::fs::read_to_string(workspace_root().join("Cargo.toml")).unwrap();
    let root: toml::Table = root.parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap();
    let tools = ["bench", "cli", "xtask"];
    for member in members.iter().filter_map(toml::Value::as_str) {
        let known = FLOORS.iter().any(|(name, _)| *name == member) || tools.contains(&member);
        assert!(known, "`{member}` is not in the table of floors; decide where it stands");
    }
}

#[test]
fn member_manifests_carry_no_versions_of_their_own() {
    for (directory, _) in FLOORS {
        let manifest = manifest(directory);
        for section in ["dependencies", "dev-dependencies"] {
            let Some(table) = manifest.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            // Tests that lead back to the crate that they test: by path alone, so that Cargo leaves
            // them out of what it publishes.
            let leads_back = |value: &toml::Value| {
                section == "dev-dependencies"
                    && value.get("path").is_some()
                    && value.get("version").is_none()
            };
            for (name, value) in table.iter().filter(|(_, value)| !leads_back(value)) {
                let shared = value.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(
                    shared,
                    Some(true),
                    "`{directory}` pins `{name}` itself; move it to [workspace.dependencies]"
                );
            }
        }
        let lints = manifest["lints"]["workspace"].as_bool();
        assert_eq!(lints, Some(true), "`{directory}` does not take the workspace's lints");
    }
}

#[test]
fn pure_crates_read_no_clock_and_do_no_io() {
    let sources = |directory| rust_sources(&format!("{directory}/src"));
    for source in DETERMINISTIC.iter().flat_map(sources) {
        assert_names_nothing_of(&source, BANNED);
    }
}

#[test]
fn the_simulated_world_reads_no_clock() {
    // The edges of the simulator may read files and count wall time; its world may not.
    let world = rust_sources("sim/src").into_iter().filter(|source| {
        let path = source.path.to_string_lossy().into_owned();
        path.contains("/world") || path.contains("/random") || path.contains("/events")
    });
    for source in world {
        assert_names_nothing_of(
            &source,
            &["Instant::now", "SystemTime::now", "thread_rng", "rand::random", "HashMap<"],
        );
    }
}

#[test]
fn what_is_planned_for_a_cluster_is_pure() {
    // These send requests, watch, serve, keep the Lease and tie it all together, as the subcommands
    // do, and all of the controller inside Knative, which decides elsewhere; everything else
    // decides.
    let edges = [
        "adapters.rs",
        "certificate_keeper.rs",
        "cluster.rs",
        "decisions.rs",
        "leader.rs",
        "main.rs",
        "run.rs",
        "token_review.rs",
        "watch.rs",
        "webhook.rs",
    ];
    let sources = rust_sources("kubernetes/src").into_iter().filter(|source| {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = source.path.to_string_lossy();
        let is_command = path.contains("/commands") || path.contains("/src/knative/");
        !is_command && !edges.contains(&name.as_str())
    });
    // Addresses and their parsing are no I/O.
    let banned: Vec<&str> = BANNED.iter().copied().filter(|word| *word != "std::net").collect();
    for source in sources {
        assert_names_nothing_of(&source, &banned);
        assert_names_nothing_of(&source, &["kube::", "TcpStream", "TcpListener"]);
    }
}

#[test]
fn only_the_clusters_controller_has_a_clusters_client() {
    let others = ["tidegate", "tidegate-queue-proxy", "tidegate-activator", "tidegate-controller"];
    for package in others {
        let tree = tree_of(package);
        for name in ["kube", "kube-client", "k8s-openapi"] {
            assert!(!tree.contains(name), "{package} is linked with {name}");
        }
    }
}

#[test]
fn rules_around_the_decision_have_one_home() {
    // When to decide and what follows is the driver's; when to report out of turn is the reporters'
    // machine. A package that names the parts has begun to write the rule again.
    for directory in ["activator", "cli", "controller", "local", "queue-proxy", "sim"] {
        for source in rust_sources(&format!("{directory}/src")) {
            assert_names_nothing_of(
                &source,
                &["ActivatorProbe", "ServerlessService", "BecameIdle"],
            );
        }
    }
    for directory in ["activator", "cli", "controller", "local", "queue-proxy"] {
        for source in rust_sources(&format!("{directory}/src")) {
            assert_names_nothing_of(&source, &["EarlyReports", ".should_wake("]);
        }
    }
}

#[test]
fn what_is_knatives_is_written_once() {
    // Its names, probes and words are `knative`'s. Settings of the autoscaler are another contract.
    let names = [
        "\"k-",
        "\"K-",
        "\"knative-",
        "\"Knative-",
        "K-Network",
        "kube-probe/",
        "unexpected probe header",
        "pending request queue full",
        "\"request timeout\"",
        "\"activator request timeout\"",
        "\"CONTAINER_CONCURRENCY\"",
        "\"QUEUE_SERVING_",
        "\"SERVING_",
        "\"USER_PORT\"",
        "\"REVISION_TIMEOUT",
    ];
    // How Go reads and writes is `go-text`'s: these are how its rules begin.
    let rules = ["\"TRUE\"", "\"0x\"", "\"0o\"", "\"µs\"", "\\u003C", "e{sign}"];
    let directories = [
        "activator",
        "autoscaler",
        "bench",
        "cli",
        "controller",
        "flags",
        "kubernetes/inject",
        "local",
        "logging",
        "queue-proxy",
        "reporter",
    ];
    for source in directories.iter().flat_map(|name| rust_sources(&format!("{name}/src"))) {
        assert_names_nothing_of(&source, &names);
        assert_names_nothing_of(&source, &rules);
    }
}

#[test]
fn every_variable_of_ours_is_written_once() {
    // The code that sets a variable and the code that reads it take its name from one constant;
    // those of the sidecar stand in `knative::environment`.
    let is_of_name = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let mut written: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let directories = FLOORS.iter().map(|(directory, _)| *directory).chain(["bench", "cli"]);
    for source in directories.flat_map(|directory| rust_sources(&format!("{directory}/src"))) {
        for (number, line) in source.code_lines() {
            for (at, prefix) in line.match_indices("\"TIDEGATE_") {
                let rest = &line[at + prefix.len()..];
                let end = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
                if rest[end..].starts_with(['"', '=']) {
                    let place = format!("{}:{number}", source.path.display());
                    written.entry(rest[..end].to_owned()).or_default().push(place);
                }
            }
        }
    }
    assert!(written.len() > 40, "only {} variables were found", written.len());
    written.retain(|_, places| places.len() > 1);
    assert!(written.is_empty(), "name these by a constant: {written:#?}");
}

#[test]
fn local_mode_prints_nothing() {
    // A program that embeds it has a screen of its own. A role is a process of its own, whose
    // standard error is collected with the app's.
    let sources = rust_sources("local/src").into_iter();
    for source in sources.filter(|source| !source.path.ends_with("roles.rs")) {
        assert_names_nothing_of(&source, &["print!", "println!"]);
    }
}

#[test]
fn pure_crates_cost_nothing_to_embed() {
    for directory in PURE {
        let tree = dependency_tree(directory);
        let others = tree.len() - 1;
        assert!(
            others <= PURE_DEPENDENCIES_MAX,
            "`{directory}` pulls in {others} packages: {tree:?}"
        );
    }
}

#[test]
fn the_simulator_embeds_without_pictures_and_archives() {
    let tree = dependency_tree("sim");
    let foreign: Vec<_> =
        FOREIGN_TO_THE_ENGINE.iter().filter(|name| tree.contains(**name)).collect();
    assert!(foreign.is_empty(), "the engine pulls in {foreign:?}");
    // The list is of crates that are used: one that no package needs any more proves nothing.
    let rooms: BTreeSet<String> =
        ["sim/report", "sim/traffic"].into_iter().flat_map(dependency_tree).collect();
    let unused: Vec<_> =
        FOREIGN_TO_THE_ENGINE.iter().filter(|name| !rooms.contains(**name)).collect();
    assert!(unused.is_empty(), "take {unused:?} out of the list");
}

fn assert_names_nothing_of(source: &Source, banned: &[&str]) {
    for (number, line) in source.code_lines() {
        for word in banned {
            assert!(
                !line.contains(word),
                "{}:{number} names `{word}`: docs/architecture.md says why it must not",
                source.path.display()
            );
        }
    }
}

fn package(directory: &str) -> String {
    format!("tidegate-{}", directory.replace('/', "-"))
}

/// Names of all packages that a build of this one compiles, itself included.
fn dependency_tree(directory: &str) -> BTreeSet<String> {
    tree_of(&package(directory))
}

fn tree_of(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none"])
        .current_dir(workspace_root())
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn manifest(directory: &str) -> toml::Table {
    let path = workspace_root().join(directory).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("cannot read {}: {error}", path.display());
    });
    text.parse().expect("a manifest that cargo has accepted is a table")
}

fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = String> + '_ {
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(|table| table.keys().cloned())
}
