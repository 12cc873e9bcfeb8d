//! `tidegate explain --hpa`: why a HorizontalPodAutoscaler did or did not scale, from its text.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use tidegate_kubernetes_hpa::{Hpa, replay};
use tidegate_kubernetes_inject::{INPUT_BYTES_MAX, objects};

use tidegate_flags::ending::mistyped;
use tidegate_flags::files::text_of;

/// How explanations are printed.
#[derive(Clone, Copy)]
pub(super) enum Format {
    /// Several lines each.
    Text,
    /// One line of JSON each.
    Json,
}

/// The explanation of each object in `file`.
pub(super) fn explain(file: &Path, tolerance: f64, format: Format) -> anyhow::Result<Vec<String>> {
    let named = || format!("--hpa {}", file.display());
    let text = read(file).with_context(named).map_err(mistyped)?;
    let objects = objects(&text).with_context(named).map_err(mistyped)?;
    if objects.is_empty() {
        return Err(mistyped(anyhow!("{}: expected an object, and there is none", named())));
    }
    let explained = objects.iter().map(|object| {
        let hpa = Hpa::read(object).with_context(named).map_err(mistyped)?;
        let replay = replay(&hpa, tolerance);
        match format {
            Format::Text => Ok(replay.to_string().trim_end().to_owned()),
            Format::Json => serde_json::to_string(&replay).context("it cannot be written as JSON"),
        }
    });
    explained.collect()
}

/// The text of a file, or of standard input.
fn read(file: &Path) -> io::Result<String> {
    if file != Path::new("-") {
        return text_of(file);
    }
    let mut text = String::new();
    io::stdin().take(INPUT_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
