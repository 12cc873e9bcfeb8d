//! The schema that editors are given accepts what the reader accepts, and refuses what the reader
//! refuses for its form.

use std::fs;
use std::path::Path;

use tidegate_services::{Services, schema};

fn json(text: &str) -> serde_json::Value {
    let table: toml::Table = text.parse().expect("it is TOML");
    serde_json::to_value(table).expect("it is JSON as well")
}

/// The files of the book and of the examples: everything in them is accepted.
fn examples() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = fs::read_to_string(root.join("docs/up.md")).expect("the page");
    let blocks = page.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next().map(str::to_owned));
    let blocks = blocks.filter(|block| block.contains("[service."));
    let mut all: Vec<_> =
        blocks.enumerate().map(|(number, text)| (format!("block {number}"), text)).collect();
    let example = root.join("examples/tidegate.toml");
    all.push((
        "examples/tidegate.toml".to_owned(),
        fs::read_to_string(example).expect("it is there"),
    ));
    all
}

#[test]
fn it_accepts_every_example() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let examples = examples();
    assert!(examples.len() >= 3, "{}", examples.len());
    for (name, text) in examples {
        Services::parse(&text).unwrap_or_else(|wrong| panic!("{name}: {wrong:#?}"));
        let told: Vec<String> =
            validator.iter_errors(&json(&text)).map(|error| error.to_string()).collect();
        assert!(told.is_empty(), "{name}: {told:#?}");
    }
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let web = |rest: &str| format!("[service.web]\ncommand = 'a'\n{rest}\n");
    for text in [
        "x = 1".to_owned(),
        "listen = 'x'".to_owned(),
        "[service.Web]\ncommand = 'a'".to_owned(),
        "[service.web]\nmin = 1".to_owned(),
        "[service.web]\ncommand = 1".to_owned(),
        "[service.web]\ncommand = []".to_owned(),
        web("comand = 'b'"),
        web("port = 0"),
        web("port = '80'"),
        web("limits = { memory = '1GB' }"),
        web("limits = { disk = '1G' }"),
        web("max = 0"),
        web("max = 1.5"),
        web("idle = 30"),
        web("idle = 'soon'"),
        web("concurrency = 'many'"),
        web("ready = 'udp'"),
        web("ready = { exec = [] }"),
        web("ready = { log = '*' }"),
        web("ready = { log = 'x', grpc = '' }"),
        web("ready = {}"),
        web("protocol = 'udp'"),
        web("hosts = 'a'"),
        web("hosts = ['a b']"),
        web("path = 'a'"),
        web("rollout = 'slow'"),
        web("rollout = {}"),
        web("after = 'db'"),
        web("environment = { A = [1] }"),
        web("environment = { 'A B' = 1 }"),
        web("build = { pak = 'x' }"),
        web("user = 'a b'"),
        web("abandoned = 'drop'"),
        web("order = 'newest'"),
        web("order = 'fair:user'"),
        web("classes = ['gold']"),
        web("classes = ['gold=0']"),
        web("classes = ['gold=65536']"),
        web("classes = ['1=1', '2=1', '3=1', '4=1', '5=1', '6=1', '7=1', '8=1', '9=1']"),
        web("classes = ['gold=1']\nclass_header = 'a b'"),
    ] {
        assert!(Services::parse(&text).is_err(), "{text}");
        assert!(!validator.is_valid(&json(&text)), "{text}");
    }
}

/// Editors show what a key means: each has a sentence.
#[test]
fn every_key_says_what_it_means() {
    fn look(value: &serde_json::Value, keys: &mut usize) {
        if let Some(properties) = value["properties"].as_object() {
            for (key, property) in properties {
                let told = property["description"].as_str().unwrap_or_default();
                assert!(told.ends_with(['.', ':']) || told.contains(' '), "{key}: {told:?}");
                *keys += 1;
            }
        }
        match value {
            serde_json::Value::Object(fields) => fields.values().for_each(|v| look(v, keys)),
            serde_json::Value::Array(values) => values.iter().for_each(|v| look(v, keys)),
            _ => {}
        }
    }
    let mut keys = 0;
    look(&schema(), &mut keys);
    assert!(keys >= 30, "{keys}");
}
