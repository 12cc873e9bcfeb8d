//! What is published works for others: packages as they would be uploaded, used by a program that
//! is no part of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package whose example is compiled, and those of ours that it needs.
const PACKAGES: [&str; 3] = ["tidegate-autoscaler", "tidegate-go-text", "tidegate-words"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cargo() -> Command {
    // What Cargo tells a test of its own package is not for another package.
    let mut command = Command::new("cargo");
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}

#[test]
fn the_example_of_the_decision_library_runs_outside_of_the_workspace() {
    let place = tempfile::tempdir().expect("a folder");
    let mut packing = cargo();
    packing.args(["package", "--no-verify", "--allow-dirty", "--offline", "--quiet"]);
    packing.current_dir(root()).arg("--target-dir").arg(place.path().join("target"));
    succeeds(packing.args(PACKAGES.iter().flat_map(|name| ["--package", name])));
    let version = env!("CARGO_PKG_VERSION");
    for name in PACKAGES {
        let packed = place.path().join(format!("target/package/{name}-{version}.crate"));
        succeeds(Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(place.path()));
    }
    let at = |name: &str| place.path().join(format!("{name}-{version}"));
    let readme = fs::read_to_string(at(PACKAGES[0]).join("README.md")).expect("it is packed");
    let example = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let outside = place.path().join("outside");
    fs::create_dir_all(outside.join("src")).expect("made");
    let program = format!(
        "fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{}\nOk(())\n}}\n",
        example.expect("an example")
    );
    fs::write(outside.join("src/main.rs"), program).expect("written");
    let patched = PACKAGES.map(|name| format!("{name} = {{ path = {:?} }}\n", at(name)));
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\n{} = \"{version}\"\n\n[patch.crates-io]\n{}\n[workspace]\n",
        PACKAGES[0],
        patched.concat()
    );
    fs::write(outside.join("Cargo.toml"), manifest).expect("written");
    // The versions that this machine has.
    fs::copy(root().join("Cargo.lock"), outside.join("Cargo.lock")).expect("copied");
    let said = succeeds(cargo().args(["run", "--offline", "--quiet"]).current_dir(&outside));
    assert!(said.contains("instances"), "{said}");
}
