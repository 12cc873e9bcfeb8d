//! Every TrafficScaler that the book shows is one that a cluster takes.

use std::path::Path;

use kube_cel::Validator;
use serde_json::Value;
use tidegate_kubernetes_objects::{DEFINITION, TrafficScalerSpec};

/// The blocks of YAML of a page, with the number of the line where each begins.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        // One in a list is as far to the right as the list's text.
        let Some(indent) = line.strip_suffix("```yaml") else { continue };
        let inside = lines.by_ref().map(|(_, line)| line.strip_prefix(indent).unwrap_or(line));
        let inside = inside.take_while(|line| *line != "```");
        blocks.push((number + 1, inside.collect::<Vec<_>>().join("\n")));
    }
    blocks
}

/// What of `written` is not in `read`: a field that there is not.
fn lost(at: &str, written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => {
            written.iter().find_map(|(name, value)| {
                let at = format!("{at}.{name}");
                read.get(name).map_or(Some(at.clone()), |read| lost(&at, value, read))
            })
        }
        // A number may be written with or without a fraction.
        (Value::Number(one), Value::Number(other)) if one.as_f64() == other.as_f64() => None,
        _ if written == read => None,
        _ => Some(at.to_owned()),
    }
}

#[test]
fn what_the_book_shows_is_accepted() {
    let definition: Value = serde_saphyr::from_str(DEFINITION).unwrap();
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut found = 0;
    for entry in std::fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        for (line, text) in blocks(&std::fs::read_to_string(&path).unwrap()) {
            let place = format!("{}:{line}", path.display());
            for text in text.split("\n---\n").filter(|text| text.contains("kind: TrafficScaler")) {
                let object: Value =
                    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{place}: {error}"));
                let spec: TrafficScalerSpec = serde_json::from_value(object["spec"].clone())
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                let read = serde_json::to_value(spec).unwrap();
                assert_eq!(lost("spec", &object["spec"], &read), None, "{place}");
                if let Err(wrong) = Validator::new().validate(schema, &object, None) {
                    panic!("{place}: {wrong}");
                }
                found += 1;
            }
        }
    }
    assert!(found >= 4, "{found} examples");
}
