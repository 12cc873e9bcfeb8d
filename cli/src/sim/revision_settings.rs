//! The file that carries settings of single revisions from one verb to another.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{anyhow, bail};
use tidegate_sim::Scenario;
use tidegate_sim::recommend::per_revision::Change;
use tidegate_words::excerpt;

use super::traffic::quoted;
use tidegate_flags::files::text_of;

/// The columns of a file of settings.
const HEADER: &str = "revision,setting,value";

/// The settings of each revision, one a row.
pub(super) fn rows(changes: &[Change]) -> String {
    let mut text = format!("{HEADER}\n");
    for change in changes {
        for (setting, value) in &change.settings {
            let _ = writeln!(
                text,
                "{},{},{}",
                quoted(&change.revision),
                quoted(setting),
                quoted(value)
            );
        }
    }
    text
}

/// Gives revisions the settings of a file, `revision,setting,value` in each row.
pub(super) fn apply(path: &Path, scenario: &mut Scenario) -> anyhow::Result<()> {
    let name = path.display();
    let text = text_of(path).map_err(|problem| anyhow!("{name}: {problem}"))?;
    let mut lines = text.lines().enumerate();
    if lines.next().map(|(_, line)| line.trim()) != Some(HEADER) {
        bail!("{name}:1: expected the header {HEADER}");
    }
    let mut models = BTreeMap::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{name}:{}", number + 1);
        let fields = fields(line);
        let [revision, setting, value] = &fields[..] else {
            bail!("{place}: expected {HEADER}, found '{}'", excerpt(line));
        };
        let model =
            models.entry(revision.clone()).or_insert_with(|| scenario.model_of(revision).clone());
        model.set(setting, value).map_err(|problem| anyhow!("{place}: {problem}"))?;
    }
    for (revision, model) in &models {
        model.check().map_err(|problem| anyhow!("{name}: {}: {problem}", excerpt(revision)))?;
    }
    scenario.revisions.extend(models);
    Ok(())
}

/// The fields of a row, with quotes where a comma or a quote is in one.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_written() {
        for name in ["plain", "with,comma", "with \"quotes\""] {
            let row = format!("{},min-scale,1", quoted(name));
            assert_eq!(fields(&row), [name, "min-scale", "1"]);
        }
    }
}
