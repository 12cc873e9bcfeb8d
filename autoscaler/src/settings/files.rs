//! Settings from text: a Kubernetes ConfigMap manifest, a flat YAML file, or a flat TOML file.
//!
//! Nothing is opened here: the embedder reads the file and hands over its text.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use tidegate_words::{excerpt, shorten};

use super::config::Config;
use super::violation::{Strictness, Violations};

/// The most bytes a settings file may have; Kubernetes limits a ConfigMap to a MiB as well.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The name of Knative's ConfigMap, which is looked for where a file has several.
pub const CONFIG_MAP_NAME: &str = "config-autoscaler";

/// How a settings file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// YAML (and so JSON): a ConfigMap manifest, or the keys themselves at the top.
    Yaml,
    /// TOML: the keys themselves at the top.
    Toml,
}

impl FileFormat {
    /// The format that a file name's extension stands for.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "yaml" | "yml" | "json" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            _ => None,
        }
    }
}

/// Why a settings file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// It is larger than [`MAX_FILE_BYTES`].
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not of its format, or not of the shape a settings file has.
    Unreadable(String),
    /// It has several ConfigMaps and none is [`CONFIG_MAP_NAME`].
    Ambiguous {
        /// Their names.
        names: Vec<String>,
    },
    /// It was read, but its values cannot be used.
    Invalid(Violations),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "settings file: {bytes} bytes, expected at most {MAX_FILE_BYTES}")
            }
            Self::Unreadable(problem) => write!(f, "settings file: {problem}"),
            Self::Ambiguous { names } => {
                let names: Vec<_> = names.iter().map(|name| excerpt(name)).collect();
                let names = excerpt(&names.join(", "));
                write!(
                    f,
                    "settings file: several ConfigMaps ({names}), expected one of them to be \
                     named {CONFIG_MAP_NAME}"
                )
            }
            Self::Invalid(violations) => violations.fmt(f),
        }
    }
}

impl std::error::Error for FileError {}

impl Config {
    /// Reads a settings file's text.
    ///
    /// # Errors
    ///
    /// [`FileError`]; where values cannot be used, all of them at once.
    pub fn from_text(
        text: &str,
        format: FileFormat,
        strictness: Strictness,
    ) -> Result<Self, FileError> {
        let data = read_data(text, format)?;
        Self::from_map(&data, strictness).map_err(FileError::Invalid)
    }
}

/// The keys of a settings file and their values as text.
///
/// # Errors
///
/// [`FileError`], except for values that cannot be used.
pub fn read_data(text: &str, format: FileFormat) -> Result<BTreeMap<String, String>, FileError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLarge { bytes: text.len() });
    }
    match format {
        FileFormat::Yaml => read_yaml(text),
        FileFormat::Toml => read_toml(text),
    }
}

/// A YAML document: a manifest with its `data`, or the settings themselves.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Document {
    Manifest(Manifest),
    Flat(BTreeMap<String, Scalar>),
    Empty(()),
}

#[derive(Debug, Deserialize)]
struct Manifest {
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, Scalar>>,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

/// A value with or without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Truth(bool),
    Integer(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Truth(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value,
        }
    }
}

fn read_yaml(text: &str) -> Result<BTreeMap<String, String>, FileError> {
    let documents: Vec<Document> = serde_saphyr::from_multiple(text)
        .map_err(|error| FileError::Unreadable(shorten(&error.to_string()).into_owned()))?;
    let mut manifests = Vec::new();
    let mut flat = BTreeMap::new();
    for document in documents {
        match document {
            Document::Manifest(manifest) => manifests.push(manifest),
            Document::Flat(data) => flat.extend(data),
            Document::Empty(()) => {}
        }
    }
    manifests.retain(|manifest| manifest.kind == "ConfigMap");
    let named = |manifest: &Manifest| manifest.metadata.name == CONFIG_MAP_NAME;
    if manifests.len() > 1 && manifests.iter().any(named) {
        manifests.retain(named);
    }
    if manifests.len() > 1 {
        let names = manifests.into_iter().map(|manifest| manifest.metadata.name).collect();
        return Err(FileError::Ambiguous { names });
    }
    let data = match manifests.pop() {
        Some(manifest) => manifest.data.unwrap_or_default(),
        None => flat,
    };
    Ok(data.into_iter().map(|(key, value)| (key, value.into_text())).collect())
}

fn read_toml(text: &str) -> Result<BTreeMap<String, String>, FileError> {
    let table: BTreeMap<String, Scalar> = toml::from_str(text)
        .map_err(|error| FileError::Unreadable(shorten(&error.to_string()).into_owned()))?;
    Ok(table.into_iter().map(|(key, value)| (key, value.into_text())).collect())
}
