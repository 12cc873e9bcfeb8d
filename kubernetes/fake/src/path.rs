//! The path and query of a request.

use crate::kinds::{Extent, Kind};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ApiPath {
    /// A group's list of resources.
    Group { group: String, version: String },
    /// The objects of a kind, of one namespace or of all.
    Collection { kind: Kind, namespace: Option<String> },
    /// One object, or a part of it.
    Object { kind: Kind, namespace: String, name: String, part: Part },
}

/// A part of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Status,
    Scale,
}

/// Parses a path; `None` when nothing is served there.
pub(crate) fn parse(kinds: &[Kind], path: &str) -> Option<ApiPath> {
    let mut words = path.trim_matches('/').split('/');
    let (group, version) = match words.next()? {
        "api" => ("", words.next()?),
        "apis" => (words.next()?, words.next()?),
        _ => return None,
    };
    let rest: Vec<&str> = words.collect();
    let find = |plural: &str| {
        let is_it =
            |kind: &&Kind| kind.group == group && kind.version == version && kind.plural == plural;
        kinds.iter().find(is_it).copied()
    };
    let object = |plural: &str, namespace: &str, name: &str, part| {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Some(ApiPath::Object { kind: find(plural)?, namespace, name, part })
    };
    match rest.as_slice() {
        [] => Some(ApiPath::Group { group: group.to_owned(), version: version.to_owned() }),
        [plural, name] if find(plural).is_some_and(|kind| kind.extent == Extent::Cluster) => {
            object(plural, "", name, Part::Whole)
        }
        [plural] => Some(ApiPath::Collection { kind: find(plural)?, namespace: None }),
        ["namespaces", namespace, plural] => {
            let namespace = Some((*namespace).to_owned());
            Some(ApiPath::Collection { kind: find(plural)?, namespace })
        }
        ["namespaces", namespace, plural, name] => object(plural, namespace, name, Part::Whole),
        ["namespaces", namespace, plural, name, "status"] => {
            object(plural, namespace, name, Part::Status)
        }
        ["namespaces", namespace, plural, name, "scale"] => {
            object(plural, namespace, name, Part::Scale)
        }
        _ => None,
    }
}

/// The value of a query's parameter, with percent-encoding undone.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex = others.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%');
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
