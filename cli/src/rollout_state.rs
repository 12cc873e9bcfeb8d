//! Where rollouts are, kept in a file: a controller that starts goes on with them, and a revision
//! that was returned stays so.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde::{Deserialize, Serialize};
use tidegate_controller::RevisionId;
use tidegate_controller::routes::RolloutRecord;
use tidegate_rollout::{Checkpoint, Phase, Weight};
use tokio::sync::watch;

use tidegate_flags::ending::mistyped;
use tidegate_flags::files::text_of;
use tidegate_words::with_causes;

/// One rollout, as a line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    route: String,
    from: String,
    to: String,
    phase: String,
    new_permille: i64,
}

const PHASES: [(Phase, &str); 5] = [
    (Phase::Progressing, "progressing"),
    (Phase::Paused, "paused"),
    (Phase::Promoted, "promoted"),
    (Phase::Returned, "returned"),
    (Phase::Aborted, "aborted"),
];

impl Line {
    fn of(record: &RolloutRecord) -> Self {
        let RolloutRecord { route, stable, new, checkpoint } = record;
        let phase = PHASES.iter().find(|(phase, _)| *phase == checkpoint.phase);
        Self {
            route: route.clone(),
            from: stable.to_string(),
            to: new.to_string(),
            phase: phase.map_or_else(String::new, |(_, name)| (*name).to_owned()),
            new_permille: checkpoint.weight.permille().into(),
        }
    }

    fn record(&self) -> anyhow::Result<RolloutRecord> {
        let revision = |text: &str| {
            let (namespace, name) = text
                .split_once('/')
                .ok_or_else(|| anyhow!("{text:?} is no revision, expected namespace/name"))?;
            Ok::<_, anyhow::Error>(RevisionId::new(namespace, name)?)
        };
        let phase = PHASES.iter().find(|(_, name)| *name == self.phase);
        let unknown = || {
            let names: Vec<&str> = PHASES.iter().map(|(_, name)| *name).collect();
            anyhow!("{:?} is no phase, expected one of {}", self.phase, names.join(", "))
        };
        let (phase, _) = phase.ok_or_else(unknown)?;
        let weight = Weight::from_permille(self.new_permille)?;
        Ok(RolloutRecord {
            route: self.route.clone(),
            stable: revision(&self.from)?,
            new: revision(&self.to)?,
            checkpoint: Checkpoint { phase: *phase, weight },
        })
    }
}

/// What a file keeps; nothing where there is none yet.
///
/// # Errors
///
/// A usage error when it keeps anything else.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<RolloutRecord>> {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let record = |(number, line): (usize, &str)| {
        let place = || format!("{}: line {}", path.display(), number + 1);
        let line: Line = serde_json::from_str(line).with_context(place)?;
        line.record().with_context(place)
    };
    text.lines().enumerate().map(record).collect::<anyhow::Result<_>>().map_err(mistyped)
}

/// Writes the file anew, as a whole or not at all.
fn write(path: &Path, records: &[RolloutRecord]) -> anyhow::Result<()> {
    let lines: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(&Line::of(record)))
        .collect::<Result<_, _>>()?;
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    Ok(fs::rename(&new, path)?)
}

/// Keeps where rollouts are in a file, for as long as the controller lives. One that cannot be
/// written is logged at each change, and rollouts go on.
pub(crate) async fn keep(path: &Path, mut rollouts: watch::Receiver<Vec<RolloutRecord>>) {
    while rollouts.changed().await.is_ok() {
        let records = rollouts.borrow_and_update().clone();
        if let Err(error) = write(path, &records) {
            let (file, error) = (path.display().to_string(), with_causes(error.as_ref()));
            tracing::warn!(file, error, "cannot keep where rollouts are");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full ends nothing: what was kept before stays, whole.
    #[test]
    fn a_full_disk_leaves_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rollouts.jsonl");
        let record = |route: &str| RolloutRecord {
            route: route.to_owned(),
            stable: RevisionId::new("shop", "v1").expect("valid"),
            new: RevisionId::new("shop", "v2").expect("valid"),
            checkpoint: Checkpoint { phase: Phase::Paused, weight: Weight::WHOLE },
        };
        write(&path, &[record("before")]).expect("there is room");
        let new = folder.path().join("rollouts.jsonl.new");
        std::os::unix::fs::symlink("/dev/full", &new).expect("a place without room");
        let error = write(&path, &[record("after")]).expect_err("there is no room");
        assert!(format!("{error:#}").contains("No space left"), "{error:#}");
        assert_eq!(read(&path).expect("it is whole"), [record("before")]);
        fs::remove_file(new).expect("removed");
        write(&path, &[record("after")]).expect("there is room again");
        assert_eq!(read(&path).expect("it is whole"), [record("after")]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rollouts.jsonl");
        assert_eq!(read(&path).expect("there is none yet"), []);
        let revision = |name| RevisionId::new("shop", name).expect("valid");
        let records: Vec<RolloutRecord> = PHASES
            .iter()
            .map(|(phase, name)| {
                let weight = Weight::from_permille(125).expect("it is one");
                let (stable, new) = (revision("v1"), revision("v2"));
                let checkpoint = Checkpoint { phase: *phase, weight };
                RolloutRecord { route: (*name).to_owned(), stable, new, checkpoint }
            })
            .collect();
        write(&path, &records).expect("written");
        assert_eq!(read(&path).expect("it is read"), records);
        for (line, part) in [
            ("{}", "missing field"),
            (
                r#"{"route":"a","from":"b","to":"c/d","phase":"paused","new_permille":1}"#,
                "no revision",
            ),
            (r#"{"route":"a","from":"b/c","to":"c/d","phase":"x","new_permille":1}"#, "no phase"),
            (
                r#"{"route":"a","from":"b/c","to":"c/d","phase":"paused","new_permille":1001}"#,
                "expected 0 to 1000",
            ),
        ] {
            fs::write(&path, line).expect("written");
            let told = format!("{:#}", read(&path).expect_err("it is none of ours"));
            assert!(told.contains(part) && told.contains("line 1"), "{told}");
        }
    }
}
