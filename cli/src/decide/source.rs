//! From files to scenarios.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use tidegate_autoscaler::settings::files::{FileFormat, read_data};

use super::envelope::Envelope;
use super::fault::{At, Fault};

/// The most bytes one file may have: far more than any scenario, far less than memory.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A file's scenarios, or what is wrong with them; in their order.
pub(crate) struct Source {
    /// What to call the file in messages.
    pub(crate) name: String,
    pub(crate) scenarios: Vec<Result<Envelope, Fault>>,
}

impl Source {
    /// Reads a file, or standard input for `-`. What cannot be read is a fault, too.
    pub(crate) fn read(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            let scenarios = split(read_text(io::stdin().lock()));
            return Self { name: "<stdin>".to_owned(), scenarios };
        }
        let name = path.display().to_string();
        let text = File::open(path).at("").and_then(read_text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        let scenarios = match extension.filter(|&e| e != "json").and_then(FileFormat::of_extension)
        {
            Some(format) => vec![text.and_then(|text| settings(&name, &text, format))],
            None => split(text),
        };
        Self { name, scenarios }
    }
}

fn split(text: Result<String, Fault>) -> Vec<Result<Envelope, Fault>> {
    match text {
        Ok(text) => Envelope::split(&text),
        Err(fault) => vec![Err(fault)],
    }
}

fn read_text(source: impl Read) -> Result<String, Fault> {
    let mut text = String::new();
    source.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).at("")?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let message = format!("too large, expected at most {MAX_FILE_BYTES} bytes; split it");
        return Err(Fault::new("", message));
    }
    Ok(text)
}

/// The scenario that a settings file stands for: are these settings good, and what do they say?
fn settings(name: &str, text: &str, format: FileFormat) -> Result<Envelope, Fault> {
    #[derive(Serialize)]
    struct Scenario<'a> {
        format: i64,
        name: &'a str,
        kind: &'static str,
        description: &'static str,
        input: Cases,
    }

    #[derive(Serialize)]
    struct Cases {
        cases: [BTreeMap<String, String>; 1],
    }

    let data = read_data(text, format).at("")?;
    let scenario = Scenario {
        format: 1,
        name,
        kind: "config",
        description: "Settings read from a file.",
        input: Cases { cases: [data] },
    };
    let json = serde_json::value::to_raw_value(&scenario).at("")?;
    Envelope::parse(&json)
}
