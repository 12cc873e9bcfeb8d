//! Every flag that the book and the README name exists.
//!
//! A flag of the controller was renamed, and its page went on naming the old one for days: whoever
//! typed it from there was told that it is unknown.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "help/verbs.rs"]
mod verbs;

use verbs::VERBS;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");

/// Flags of `tidegate-kubernetes`; a test beside it holds the page to its help.
const KUBERNETES: [&str; 18] = [
    "--activator-ports",
    "--activator-service",
    "--autoscaler",
    "--context",
    "--external-metrics",
    "--external-metrics-service",
    "--external-scaler",
    "--listen-peers",
    "--namespace",
    "--once",
    "--own-address",
    "--peers",
    "--pod-ip",
    "--pod-uid",
    "--serving-namespace",
    "--sort",
    "--system-namespace",
    "--token-audience",
];

/// Flags of other programs that the pages name: cargo, our benchmark harnesses, apps, load
/// generators, docker, pack and kubectl.
const OTHERS: &[&str] = &[
    "--activator",
    "--all",
    "--all-namespaces",
    "--app",
    "--audience",
    "--bench",
    "--bin",
    "--bind",
    "--bins",
    "--builder",
    "--config",
    "--create-namespace",
    "--cycles",
    "--debug",
    "--doors",
    "--dry-run",
    "--each",
    "--envoy",
    "--example",
    "--for",
    "--force-conflicts",
    "--from-literal",
    "--help",
    "--ignored",
    "--init",
    "--instances",
    "--knative",
    "--lib",
    "--load",
    "--minutes",
    "--nocapture",
    "--out",
    "--output",
    "--output-format",
    "--package",
    "--patch",
    "--path",
    "--pingora",
    "--platform",
    "--port",
    "--prefix",
    "--profile",
    "--queue-proxy",
    "--release",
    "--replicas",
    "--report",
    "--restart",
    "--reuse-values",
    "--revisions",
    "--rm",
    "--round-trip-ms",
    "--rounds",
    "--scope",
    "--seconds",
    "--selector",
    "--serve",
    "--servedir",
    "--server-side",
    "--service-us",
    "--strictPort",
    "--tail",
    "--target",
    "--test",
    "--tidegate",
    "--timestamps",
    "--to",
    "--type",
    "--user",
    "--version",
    "--web",
    "--workspace",
];

/// The flags in a text: two hyphens, then letters, digits and hyphens, with nothing before that
/// would make it a part of a word.
fn flags(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let starts = text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(is_part));
    let flags = starts.filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        let name = rest.split(|c: char| !is_part(c)).next()?.trim_end_matches('-');
        let is_flag = name.starts_with(|c: char| c.is_ascii_lowercase());
        is_flag.then(|| format!("--{name}"))
    });
    flags.collect()
}

/// The pages of the book, in folders below `folder` as well.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.flat_map(|path| match path.is_dir() {
        true => pages(&path),
        false => vec![path],
    });
    pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn every_flag_that_is_named_exists() {
    let known: BTreeSet<String> = VERBS
        .iter()
        .flat_map(|verb| {
            let mut command = Command::new(TIDEGATE);
            let output = command.args(verb.split_whitespace()).arg("--help").output().unwrap();
            flags(&String::from_utf8_lossy(&output.stdout))
        })
        .chain(KUBERNETES.map(str::to_owned))
        .chain(OTHERS.iter().map(|flag| (*flag).to_owned()))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut texts = pages(&root.join("docs"));
    texts.extend(["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|name| root.join(name)));
    let unknown: Vec<String> = texts
        .iter()
        .flat_map(|page| {
            let named = flags(&fs::read_to_string(page).unwrap());
            let unknown = named.difference(&known).cloned().collect::<Vec<_>>();
            let page = page.strip_prefix(root).unwrap().display().to_string();
            unknown.into_iter().map(move |flag| format!("{page} names {flag}"))
        })
        .collect();
    assert!(unknown.is_empty(), "no help knows these: {unknown:#?}");
}
