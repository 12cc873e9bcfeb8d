//! The manifests of `kubernetes/install` agree with the program that they run.
//!
//! What an API server and kustomize make of them is not tested here: there is no cluster in this
//! test. The activator's side is in `cli/tests/install.rs`, where its program is.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tidegate_kubernetes_objects::names::{
    ACTIVATOR_SERVICE, AUTHORITY, CONTROLLER_CERTIFICATE, CONTROLLER_SERVICE, INJECT_LABEL, LEASE,
    SYSTEM_NAMESPACE, TOKEN_AUDIENCE, WEBHOOK as NAME_OF_WEBHOOK, WEBHOOK_CERTIFICATE,
    WEBHOOK_SERVICE,
};

/// The ServiceAccounts, which are named as their Deployments.
const CONTROLLER: &str = "tidegate-controller";
const KEEPER: &str = "tidegate-certificates";
const WEBHOOK: &str = "tidegate-webhook";

const BINARY: &str = env!("CARGO_BIN_EXE_tidegate-kubernetes");

/// A verb on a resource of a group.
type Right = (String, String, String);

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install")
}

/// The objects of every file in `directory` and of the directories in it, without patches.
fn objects(directory: &Path) -> Vec<Value> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(objects(&path));
            continue;
        }
        if path.ends_with("patches.yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let read: Result<Vec<Value>, _> = serde_saphyr::from_multiple(&text);
        found.extend(read.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
    }
    found
}

fn find(kind: &str, name: &str) -> Value {
    let is_it = |object: &Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects(&directory()).into_iter().find(is_it).unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap())
}

fn container(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn help() -> String {
    help_of("controller")
}

fn help_of(subcommand: &str) -> String {
    let help = Command::new(BINARY).args([subcommand, "--help"]).output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}

fn is_role(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
}

/// The rights that the roles of a ServiceAccount together give.
fn given(account: &str) -> BTreeSet<Right> {
    let all = objects(&directory());
    let bindings = all.iter().filter(|object| !object["subjects"].is_null());
    let of_account = |binding: &&Value| {
        let mut subjects = binding["subjects"].as_array().unwrap().iter();
        subjects.any(|subject| subject["name"] == account)
    };
    let roles: Vec<&Value> =
        bindings.filter(of_account).map(|binding| &binding["roleRef"]["name"]).collect();
    let mut rights = BTreeSet::new();
    for role in all.iter().filter(|object| is_role(object)) {
        if !roles.contains(&&role["metadata"]["name"]) {
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        let right = (group.to_owned(), resource.to_owned(), verb.to_owned());
                        assert!(
                            rights.insert(right.clone()),
                            "{right:?} is given twice: one of them is too many"
                        );
                    }
                }
            }
        }
    }
    rights
}

/// The manifests that say what somebody may do.
fn files_of_rights(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let has_roles = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        text.contains("kind: Role\n") || text.contains("kind: ClusterRole\n")
    };
    let deeper = directories.iter().flat_map(|directory| files_of_rights(directory));
    files.into_iter().filter(has_roles).chain(deeper).collect()
}

/// The cells of the one table in a section of the page, without its head.
fn table(section: &str) -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubernetes.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once(&format!("\n## {section}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells =
        |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

/// What is marked as code in a cell.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The rights in the table of the book.
fn told() -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for cells in table("Rights") {
        let group = code(&cells[0]).first().cloned().unwrap_or_default();
        for resource in code(&cells[1]) {
            for verb in cells[2].split(", ") {
                rights.insert((group.clone(), resource.clone(), verb.to_owned()));
            }
        }
    }
    rights
}

#[test]
fn the_rights_of_the_manifests_and_the_book_agree() {
    let (given, told) = (given(CONTROLLER), told());
    assert!(given.len() > 20, "{given:?}");
    assert_eq!(given.difference(&told).collect::<Vec<_>>(), Vec::<&Right>::new(), "not told");
    assert_eq!(told.difference(&given).collect::<Vec<_>>(), Vec::<&Right>::new(), "not given");
}

#[test]
fn each_verb_has_a_comment_with_its_reason() {
    let mut verbs = 0;
    for path in files_of_rights(&directory()) {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_verb = false;
        for line in text.lines() {
            if is_verb && line.starts_with("  - ") {
                verbs += 1;
                let has_reason = line.split_once(" # ").is_some_and(|(_, why)| why.len() > 8);
                assert!(has_reason, "{}: no reason: {line}", path.display());
            } else {
                is_verb = line.starts_with("  verbs:");
                assert!(!line.starts_with("  verbs: ["), "{}: one verb a line", path.display());
            }
        }
    }
    assert!(verbs > 30, "{verbs}");
}

/// Nobody but the keeper of the certificates touches Secrets, and that one only those of its names.
#[test]
fn secrets_are_the_keepers_alone_and_by_name() {
    for role in objects(&directory()).iter().filter(|object| is_role(object)) {
        for rule in role["rules"].as_array().unwrap() {
            if !texts(&rule["resources"]).any(|resource| ["*", "secrets"].contains(&resource)) {
                continue;
            }
            assert_eq!(
                (&role["kind"], &role["metadata"]["name"]),
                (&json!("Role"), &json!(KEEPER))
            );
            assert!(texts(&rule["resourceNames"]).count() > 0, "{rule}");
        }
    }
}

#[test]
fn the_flags_of_the_program_and_the_book_agree() {
    let flag = |text: &str| text.split([' ', ',']).next().unwrap().to_owned();
    let cells = table("Flags");
    let told = cells.iter().flat_map(|cells| code(&cells[0])).map(|text| flag(&text));
    let help = help();
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with("--"));
    let told: BTreeSet<String> = told.collect();
    assert_eq!(told, lines.map(flag).collect());
}

/// The variables that components add to a Deployment's container.
fn added(deployment: &str) -> Vec<Value> {
    let all = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let patches = all.map(|path| path.join("patches.yaml")).filter(|path| path.exists());
    let patches = patches.flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    });
    let of_it = patches.filter(|patch| patch["metadata"]["name"] == deployment);
    of_it.flat_map(|patch| container(&patch)["env"].as_array().unwrap().clone()).collect()
}

#[test]
fn programs_know_what_they_are_given() {
    for (deployment, subcommand) in
        [(CONTROLLER, "controller"), (KEEPER, "certificates"), (WEBHOOK, "webhook")]
    {
        let help = help_of(subcommand);
        let object = find("Deployment", deployment);
        let container = container(&object);
        assert_eq!(texts(&container["args"]).next(), Some(subcommand));
        for argument in texts(&container["args"]).filter(|argument| argument.starts_with("--")) {
            let flag = argument.split('=').next().unwrap();
            assert!(help.contains(&format!("{flag} <")), "{flag} is no flag of {subcommand}");
        }
        let added = added(deployment);
        let set = container["env"].as_array().unwrap().iter().chain(&added);
        for variable in set.map(|set| set["name"].as_str().unwrap()) {
            // The webhook's is there for another variable to refer to.
            let is_read = help.contains(&format!("[env: {variable}="));
            let is_used = container.to_string().contains(&format!("$({variable})"));
            assert!(is_read || is_used, "{subcommand} does not read {variable}");
        }
    }
}

/// The program reads these names.
#[test]
fn the_manifests_use_the_programs_names() {
    find("Namespace", SYSTEM_NAMESPACE);
    find("Service", ACTIVATOR_SERVICE);
    let role = find("Role", "tidegate-controller");
    assert_eq!(texts(&role["rules"][1]["resourceNames"]).collect::<Vec<_>>(), [LEASE]);
    let role = find("Role", KEEPER);
    let named = |rule: usize| texts(&role["rules"][rule]["resourceNames"]).collect::<Vec<_>>();
    assert_eq!(named(0), [AUTHORITY]);
    assert_eq!(named(1), [CONTROLLER_CERTIFICATE, WEBHOOK_CERTIFICATE]);
    let role = find("Role", AUTHORITY);
    assert_eq!(texts(&role["rules"][0]["resourceNames"]).collect::<Vec<_>>(), [AUTHORITY]);
    find("Service", CONTROLLER_SERVICE);
    find("Service", WEBHOOK_SERVICE);
    let configuration = find("MutatingWebhookConfiguration", "tidegate");
    assert_eq!(configuration["webhooks"][0]["name"], NAME_OF_WEBHOOK);
    let selector = &configuration["webhooks"][0]["namespaceSelector"]["matchLabels"];
    let (key, value) = INJECT_LABEL.split_once('=').unwrap();
    assert_eq!(selector[key], value);
    let audience =
        added(CONTROLLER).into_iter().find(|set| set["name"] == "TIDEGATE_TOKEN_AUDIENCE");
    assert_eq!(audience.unwrap()["value"], TOKEN_AUDIENCE);
}

/// A named port is the one that the program's arguments listen on.
#[test]
fn named_ports_are_the_ports_listened_on() {
    let deployment = find("Deployment", "tidegate-controller");
    let container = container(&deployment);
    let arguments: Vec<&str> = texts(&container["args"]).collect();
    for (flag, name) in [("--listen", "reports"), ("--admin", "metrics")] {
        let at = arguments.iter().position(|argument| *argument == flag).unwrap();
        let (_, port) = arguments[at + 1].rsplit_once(':').unwrap();
        let ports = container["ports"].as_array().unwrap();
        let named = ports.iter().find(|port| port["name"] == name).unwrap();
        assert_eq!(named["containerPort"].to_string(), port, "{name}");
    }
    let reports = &find("Service", "tidegate-controller")["spec"]["ports"][0];
    assert_eq!((&reports["port"], &reports["targetPort"]), (&9400.into(), &"reports".into()));
}

/// Activators are reachable on the ports that the controller may assign, and on no others.
#[test]
fn the_activators_policy_opens_the_ports_that_may_be_assigned() {
    let help = help();
    let policy = find("NetworkPolicy", ACTIVATOR_SERVICE);
    let ports = &policy["spec"]["ingress"][0]["ports"][0];
    let range = format!("[default: {}-{}]", ports["port"], ports["endPort"]);
    assert!(help.contains(&range), "{range} is not the default of --activator-ports");
}

/// What the restricted Pod Security Standard asks for, and a root file system that is read-only.
#[test]
fn pods_meet_the_restricted_standard() {
    for name in [CONTROLLER, KEEPER, WEBHOOK, ACTIVATOR_SERVICE] {
        let deployment = find("Deployment", name);
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        for context in pod["containers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|container| &container["securityContext"])
        {
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
        }
    }
    let namespace = find("Namespace", SYSTEM_NAMESPACE);
    let label = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(label, "restricted");
}
