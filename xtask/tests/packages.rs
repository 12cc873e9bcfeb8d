//! What people install and what Cargo publishes is complete.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use xtask::packages::{Packages, run};
use xtask::sources::files;

/// A workspace of its own.
const APART: &str = "fuzz";

/// Packages whose manifests nobody may touch while they are measured; they get theirs after that.
const MEASURED: [&str; 2] = ["queue-proxy", "relay"];

/// The most that a registry takes.
const KEYWORDS_MAX: usize = 5;
const KEYWORD_BYTES_MAX: usize = 20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every package that is published, with its directory.
fn published() -> Vec<(String, toml::Table)> {
    let manifests = files("", &["toml"]).into_iter().filter_map(|file| {
        let directory = file.path.parent()?.to_str()?.to_owned();
        let manifest: toml::Table = file.text.parse().expect("a manifest is TOML");
        let is_manifest = file.path.ends_with("Cargo.toml") && manifest.contains_key("package");
        (is_manifest && directory != APART).then_some((directory, manifest))
    });
    manifests.filter(|(_, of)| of["package"].get("publish") != Some(&false.into())).collect()
}

#[test]
fn every_published_package_says_what_a_registry_shows() {
    let all = published();
    assert!(all.len() > 40, "{}", all.len());
    for (directory, manifest) in all.iter().filter(|(at, _)| !MEASURED.contains(&at.as_str())) {
        let package = manifest["package"].as_table().expect("a table");
        let name = package["name"].as_str().expect("text");
        let text = |key: &str| {
            let value = package.get(key).unwrap_or_else(|| panic!("{directory} has no {key}"));
            value.as_str().map(str::to_owned).unwrap_or_default()
        };
        assert!(!text("description").is_empty(), "{directory}");
        let readme = fs::read_to_string(root().join(directory).join(text("readme")));
        let readme = readme.unwrap_or_else(|error| panic!("{directory}: {error}"));
        assert!(readme.starts_with(&format!("# {name}\n")), "{directory}");
        let list = |key: &str| {
            let list = package[key].as_array().unwrap_or_else(|| panic!("{directory}: {key}"));
            list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let keywords = list("keywords");
        assert!((1..=KEYWORDS_MAX).contains(&keywords.len()), "{directory}: {keywords:?}");
        assert!(keywords.iter().all(|word| word.len() <= KEYWORD_BYTES_MAX), "{keywords:?}");
        assert!(!list("categories").is_empty(), "{directory}");
        assert!(package["metadata"]["docs"]["rs"].is_table(), "{directory}");
    }
}

/// A dependency by its path alone would be none for whoever has it from a registry.
#[test]
fn what_published_packages_depend_on_has_a_version() {
    let text = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let workspace: toml::Table = text.parse().expect("a manifest is TOML");
    let version = workspace["workspace"]["package"]["version"].clone();
    let table = workspace["workspace"]["dependencies"].as_table().expect("a table");
    let names: Vec<String> = published()
        .into_iter()
        .map(|(_, manifest)| manifest["package"]["name"].as_str().expect("text").to_owned())
        .collect();
    for (name, dependency) in table.iter().filter(|(_, of)| of.get("path").is_some()) {
        let is_published = names.contains(name);
        let expected = is_published.then_some(&version);
        assert_eq!(dependency.get("version"), expected, "{name} in the workspace's table");
    }
}

fn tool(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    Command::new(program).args(arguments).arg(file).output().ok()
}

/// In the place of the program: it writes a page and completions as that does.
const STAND_IN: &str = "#!/bin/sh\nset -e\ncase $1 in\n\
    man) mkdir -p \"$3\"; echo page > \"$3/tidegate.1\"; echo run > \"$3/tidegate-run.1\";;\n\
    completions) echo \"complete $2\";;\nesac\n";

#[test]
fn what_is_installed_is_all_there_and_the_same_each_time() {
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("tidegate");
    fs::write(&program, STAND_IN).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
    let target = "x86_64-unknown-linux-musl".to_owned();
    let packed = ["one", "two"].map(|name| {
        let output = place.path().join(name);
        fs::create_dir(&output).expect("made");
        let asked = Packages { program: Some(program.clone()), target: target.clone(), output };
        run(&asked, &root()).expect("it is packed");
        asked.output
    });
    let version = env!("CARGO_PKG_VERSION");
    let tarball = format!("tidegate-{version}-{target}.tar.gz");
    let listed = tool("tar", &["-tzf"], &packed[0].join(&tarball)).expect("tar is everywhere");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in
        ["tidegate", "man/tidegate-run.1", "completions/tidegate.zsh", "LICENSE", "README.md"]
    {
        let line = format!("tidegate-{version}-{target}/{file}");
        assert!(listed.lines().any(|listed| listed == line), "no {line} in {listed}");
    }
    let package = format!("tidegate_{version}_amd64.deb");
    if let Some(listed) = tool("dpkg-deb", &["--contents"], &packed[0].join(&package)) {
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for file in [
            "./usr/bin/tidegate",
            "./usr/share/man/man1/tidegate.1.gz",
            "./usr/share/bash-completion/completions/tidegate",
            "./usr/share/doc/tidegate/copyright",
        ] {
            assert!(listed.lines().any(|line| line.ends_with(file)), "no {file} in {listed}");
        }
        assert!(listed.lines().all(|line| line.contains("root/root")), "{listed}");
        let told = tool("dpkg-deb", &["--info"], &packed[0].join(&package)).expect("it is there");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains("Architecture: amd64"), "{told}");
    }
    for file in [tarball, package] {
        let [one, two] = [0, 1].map(|which| fs::read(packed[which].join(&file)).ok());
        assert!(one == two, "{file} differs between two runs");
    }
}

#[test]
fn a_target_that_there_is_no_package_for_is_refused() {
    let asked = Packages {
        program: None,
        target: "riscv64gc-unknown-linux-gnu".to_owned(),
        output: "target/packages".into(),
    };
    let error = run(&asked, &root()).expect_err("it is none").to_string();
    assert!(error.contains("only for x86_64 and aarch64"), "{error}");
}
