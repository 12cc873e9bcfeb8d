//! The activator that `kubernetes/install` runs gets flags and variables that it has, and listens
//! where its ports say. The controller's side is in `kubernetes/tests/install.rs`.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidegate_trust::credentials::VARIABLES as CREDENTIALS;

/// The variables that components add to the activator's container.
fn added() -> Vec<Value> {
    let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes/install");
    let folders = fs::read_dir(install).unwrap().map(|entry| entry.unwrap().path());
    let patches = folders.map(|folder| folder.join("patches.yaml")).filter(|path| path.exists());
    let patches = patches.flat_map(|path| {
        serde_saphyr::from_multiple::<Value>(&fs::read_to_string(path).unwrap()).unwrap()
    });
    let ours = patches.filter(|patch| patch["metadata"]["name"] == "tidegate-activator");
    let containers = ours.map(|patch| patch["spec"]["template"]["spec"]["containers"][0].clone());
    containers.flat_map(|container| container["env"].as_array().unwrap().clone()).collect()
}

/// The activator's container in its manifest.
fn container() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kubernetes/install/base");
    let text = fs::read_to_string(path.join("activator.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["spec"]["template"]["spec"]["containers"][0].clone()
}

fn list<'a>(container: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    container[key].as_array().unwrap().iter()
}

fn variable(container: &Value, name: &str) -> String {
    let set = list(container, "env").find(|set| set["name"] == name).unwrap();
    set["value"].as_str().unwrap().to_owned()
}

#[test]
fn the_activator_knows_what_it_is_given() {
    let tidegate = env!("CARGO_BIN_EXE_tidegate");
    let help = Command::new(tidegate).args(["activator", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let container = container();
    let arguments = list(&container, "args").map(|argument| argument.as_str().unwrap());
    let flags: Vec<&str> = arguments.filter(|argument| argument.starts_with("--")).collect();
    assert!(!flags.is_empty());
    for flag in flags {
        assert!(help.contains(&format!("{flag} <")), "{flag} is no flag of the activator");
    }
    for set in list(&container, "env") {
        let name = set["name"].as_str().unwrap();
        assert!(help.contains(&format!("[env: {name}=")), "{name} is not read");
    }
    let added = added();
    assert!(added.len() >= 3, "{added:?}");
    for set in &added {
        let name = set["name"].as_str().unwrap();
        let is_read = help.contains(&format!("[env: {name}=")) || CREDENTIALS.contains(&name);
        assert!(is_read, "{name} is not read");
    }
}

#[test]
fn named_ports_are_the_ports_listened_on() {
    let container = container();
    for (name, of) in [("http", "TIDEGATE_LISTEN"), ("metrics", "TIDEGATE_ADMIN")] {
        let named = list(&container, "ports").find(|port| port["name"] == name).unwrap();
        let address = variable(&container, of);
        let (_, port) = address.rsplit_once(':').unwrap();
        assert_eq!(named["containerPort"].to_string(), port, "{of}");
    }
    assert_eq!(container["readinessProbe"]["httpGet"]["port"], "metrics");
    assert_eq!(variable(&container, "TIDEGATE_CONTROLLER"), "tidegate-controller:9400");
}
