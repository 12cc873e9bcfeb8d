//! From files to scenarios.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tidegate_autoscaler::settings::files::{FileError, FileFormat, read_data};
use tidegate_autoscaler::settings::{unknown_config_keys, unknown_setting};
use tidegate_scenario::{Scenario, ScenarioError};

/// The most bytes one file may have: far more than any scenario, far less than memory.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A file's scenarios, or what is wrong with them; in their order.
pub(crate) struct Source {
    /// The file's name in messages.
    pub(crate) name: String,
    pub(crate) scenarios: Vec<Result<Scenario, SourceError>>,
}

/// Why a file yields no scenario.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The file is beyond [`MAX_FILE_BYTES`].
    #[error("too large, expected at most {MAX_FILE_BYTES} bytes; split it")]
    TooLarge,
    /// The settings file is no settings file.
    #[error(transparent)]
    Settings(#[from] FileError),
    /// What was read is no scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

impl Source {
    /// Reads a file, or standard input for `-`; a file that cannot be read becomes one entry with
    /// its error.
    pub(crate) fn read(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            let scenarios = split(read_text(io::stdin().lock()));
            return Self { name: "<stdin>".to_owned(), scenarios };
        }
        let name = path.display().to_string();
        let text = File::open(path).map_err(SourceError::from).and_then(read_text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        let scenarios = match extension.filter(|&e| e != "json").and_then(FileFormat::of_extension)
        {
            Some(format) => vec![text.and_then(|text| settings(&name, &text, format))],
            None => split(text),
        };
        Self { name, scenarios }
    }
}

fn split(text: Result<String, SourceError>) -> Vec<Result<Scenario, SourceError>> {
    match text {
        Ok(text) => Scenario::split(&text).into_iter().map(|read| Ok(read?)).collect(),
        Err(error) => vec![Err(error)],
    }
}

fn read_text(source: impl Read) -> Result<String, SourceError> {
    let mut text = String::new();
    source.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(SourceError::TooLarge);
    }
    Ok(text)
}

/// The scenario that a settings file stands for.
fn settings(name: &str, text: &str, format: FileFormat) -> Result<Scenario, SourceError> {
    let data = read_data(text, format)?;
    for key in unknown_config_keys(&data) {
        let unknown = unknown_setting(key);
        eprintln!("tidegate decide: warning: {name}: {unknown}; ignored, as Knative does");
    }
    Ok(Scenario::of_settings(name, data)?)
}
