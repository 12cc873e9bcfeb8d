//! A constant stands in one place: two of one name and one value are a rule that is written twice,
//! and one of them will be changed alone.
//!
//! The story: the intervals of keep-alive pings stood in both ends of the report stream, the depth
//! of Knative's queue in the sidecar's rule and in what the controller believes, and the frames of
//! HTTP/2 in two modules of one package.

use std::collections::BTreeMap;

use xtask::sources::{files, rust_sources};

/// Constants that have one name and one value by chance, with the two meanings. This list may only
/// shrink.
const TWO_MEANINGS: &[(&str, &str)] = &[
    ("ALPN", "what an API server speaks to a webhook; what it offers to an extension"),
    ("ATTEMPTS_MAX", "starts of an instance before it waits; forwards of one request"),
    ("CONNECTIONS_MAX", "API servers and KEDA on the adapters' port; a relay's to one upstream"),
    ("ENTRIES_MAX", "metrics and policies of an HPA; rules and backends of a route"),
    ("FILE_BYTES_MAX", "a file with a secret; the file by which `explain` finds a run"),
    ("HEAD_BYTES_MAX", "a probe's or a scraper's request; an API server's"),
    ("HEAD_TIMEOUT", "a probe or a scraper on the admin address; an API server and its handshake"),
    ("KEPT_BYTES_MAX", "a Secret with certificates; a file with them, outside of a cluster"),
    ("PERIOD", "looks of the cluster's keeper of certificates; of the keeper of a file"),
    ("PING_TIMEOUT", "how long KEDA may take to acknowledge a ping; how long a reporter may"),
    ("REPEAT_MS", "certificates are published again; a refusal is told again"),
    ("WINDOW", "what a collector may send unread; what a probed app may"),
];

/// Constants that are one rule, and still stand twice. This list may only shrink.
const STILL_TWICE: &[(&str, &str)] = &[];

/// The name and the value of a constant that a line declares as a whole.
fn constant(line: &str) -> Option<(&str, &str)> {
    let (before, rest) = line.trim().split_once("const ")?;
    let is_declaration = before.is_empty() || before.starts_with("pub");
    let (name, rest) = rest.split_once(':')?;
    let value = rest.split_once(" = ")?.1.strip_suffix(';')?;
    let is_name = name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    // What is made of another constant repeats nothing.
    let is_literal = value.contains(|letter: char| letter.is_ascii_digit() || letter == '"');
    (is_declaration && is_name && is_literal).then_some((name, value))
}

/// The places of each name with each value.
fn constants() -> BTreeMap<(String, String), Vec<String>> {
    let mut places: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let manifests = files("", &["toml"]).into_iter();
    let packages = manifests.filter(|file| file.path.ends_with("Cargo.toml"));
    for package in packages.filter_map(|file| Some(file.path.parent()?.join("src"))) {
        // Harnesses and fuzz targets have bounds of their own.
        if package.starts_with("bench") || package.starts_with("fuzz") {
            continue;
        }
        for source in rust_sources(&package.to_string_lossy()) {
            for (number, line) in source.code_lines() {
                let Some((name, value)) = constant(line) else { continue };
                let place = format!("{}:{number}", source.path.display());
                places.entry((name.to_owned(), value.to_owned())).or_default().push(place);
            }
        }
    }
    places
}

#[test]
fn no_constant_is_written_twice() {
    let constants = constants();
    assert!(constants.len() > 500, "only {} constants were found", constants.len());
    let excepted = || TWO_MEANINGS.iter().chain(STILL_TWICE);
    let is_excepted = |name: &str| excepted().any(|(known, _)| *known == name);
    let twice: Vec<_> = constants
        .iter()
        .filter(|((name, _), places)| places.len() > 1 && !is_excepted(name))
        .collect();
    assert!(twice.is_empty(), "give these one home, or other names: {twice:#?}");
    for (name, _) in excepted() {
        let still = constants.iter().any(|((known, _), places)| known == name && places.len() > 1);
        assert!(still, "{name} stands once only: take it out of the list");
    }
}
