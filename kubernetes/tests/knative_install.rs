//! The manifests of `kubernetes/install/knative`, the program that they run and the book say the
//! same.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidegate_kubernetes::knative::metrics;
use tidegate_kubernetes::knative::run::LEASE;

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-kubernetes");

fn objects(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/knative").join(file);
    serde_saphyr::from_multiple(&fs::read_to_string(path).unwrap()).unwrap()
}

fn find(file: &str, kind: &str, name: &str) -> Value {
    let is_it = |object: &Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects(file).into_iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap())
}

/// The cells of the one table in a section of the page, without its head.
fn table(section: &str) -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/knative.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n### {section}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What is marked as code in a cell.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn help() -> String {
    let help = Command::new(BINARY).args(["knative", "--help"]).output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}

#[test]
fn every_right_is_in_the_book_and_the_other_way_round() {
    let mut given = BTreeSet::new();
    for role in objects("rights.yaml").iter().filter(|object| object["rules"].is_array()) {
        for rule in role["rules"].as_array().unwrap() {
            let group = texts(&rule["apiGroups"]).next().unwrap();
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let right = (group.to_owned(), resource.to_owned(), verb.to_owned());
                    assert!(given.insert(right), "{resource} {verb} is given twice");
                }
            }
        }
    }
    let mut told = BTreeSet::new();
    for cells in table("Rights") {
        let group = code(&cells[0]).first().cloned().unwrap_or_default();
        for resource in code(&cells[1]) {
            for verb in cells[2].split(", ") {
                told.insert((group.clone(), resource.clone(), verb.to_owned()));
            }
        }
    }
    assert!(given.len() > 20, "{given:?}");
    assert_eq!(given, told);
}

#[test]
fn every_flag_and_metric_is_in_the_book_and_the_other_way_round() {
    let first = |text: &str| text.split([' ', ',']).next().unwrap().to_owned();
    let told = |section: &str| -> BTreeSet<String> {
        table(section).iter().flat_map(|cells| code(&cells[0])).map(|text| first(&text)).collect()
    };
    let help = help();
    let flags = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
    assert_eq!(told("Flags"), flags.map(first).collect());
    let metrics = metrics::ALL.iter().map(|metric| metric.name.to_owned());
    assert_eq!(told("Metrics"), metrics.collect());
}

#[test]
fn the_program_knows_what_it_is_given() {
    let help = help();
    let deployment = find("controller.yaml", "Deployment", "tidegate-knative");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    let arguments: Vec<&str> = texts(&container["args"]).collect();
    assert_eq!(arguments[0], "knative");
    for flag in arguments.iter().filter(|argument| argument.starts_with("--")) {
        assert!(help.contains(&format!("{flag} <")), "{flag} is no flag");
    }
    for variable in container["env"].as_array().unwrap() {
        let variable = variable["name"].as_str().unwrap();
        assert!(help.contains(&format!("[env: {variable}=")), "{variable} is not read");
    }
}

/// A name or a port that two of them mention is the same in both.
#[test]
fn what_leads_somewhere_leads_to_what_is_there() {
    let deployment = find("controller.yaml", "Deployment", "tidegate-knative");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<&str> = texts(&container["args"]).collect();
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| *argument == flag).unwrap();
        arguments[at + 1].rsplit_once(':').unwrap()
    };
    let port = |name: &str| {
        let ports = container["ports"].as_array().unwrap();
        ports.iter().find(|port| port["name"] == name).unwrap()["containerPort"].to_string()
    };
    assert_eq!(value("--listen").1, port("statistics"));
    assert_eq!(value("--admin").1, port("metrics"));
    let (peers, peers_port) = value("--peers");
    let service = find("controller.yaml", "Service", peers);
    assert_eq!((&service["spec"]["selector"], peers_port), (labels, port("peers").as_str()));
    assert_eq!(service["spec"]["clusterIP"], "None");
    let default = format!("[default: 0.0.0.0:{peers_port}]");
    assert!(help().contains(&default), "--listen-peers has no {default}");
    let (autoscaler, _) = value("--autoscaler");
    let service = find("controller.yaml", "Service", autoscaler);
    assert_eq!(service["spec"]["selector"]["app"], "autoscaler");
    let role = find("rights.yaml", "Role", "tidegate-knative");
    let names = role["rules"].as_array().unwrap().iter().flat_map(|r| texts(&r["resourceNames"]));
    assert_eq!(names.collect::<Vec<_>>(), [LEASE]);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/knative.md");
    let name = labels["app.kubernetes.io/name"].as_str().unwrap();
    let selector = format!(r#""selector":{{"app":null,"app.kubernetes.io/name":"{name}"}}"#);
    assert!(fs::read_to_string(page).unwrap().contains(&selector), "{selector} is not in the book");
}
