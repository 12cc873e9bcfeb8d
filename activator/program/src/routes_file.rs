//! A file with routes: read at the start, and again whenever it changes.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use tidegate_activator::Table;

use tidegate_flags::ending::mistyped;
use tidegate_flags::files::text_of;
use tidegate_flags::followed::{LOOK_PERIOD, Stamp};
use tidegate_words::with_causes;

/// A file that is followed.
#[derive(Debug)]
pub struct RoutesFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    text: String,
}

/// The text of the file, and the table that it makes.
fn read(path: &Path) -> anyhow::Result<(String, Table)> {
    let shown = path.display();
    let text = text_of(path).with_context(|| format!("cannot read the routes in {shown}"))?;
    let table = Table::parse(&text).map_err(|error| anyhow!("{shown}: {error}"))?;
    Ok((text, table))
}

impl RoutesFile {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// A usage error that says where and what.
    pub fn open(path: PathBuf) -> anyhow::Result<(Self, Table)> {
        // Before it is read: what changes in between is then read once more.
        let stamp = Stamp::of(&path);
        let (text, table) = read(&path).map_err(mistyped)?;
        Ok((Self { path, stamp, text }, table))
    }

    /// The text that was read last.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Waits until the file says something else that can be followed. Cancel safe.
    pub async fn changed(&mut self) -> Table {
        loop {
            tidegate_trust::rereads::due(LOOK_PERIOD).await;
            if let Some(table) = self.look() {
                return table;
            }
        }
    }

    /// The table, if the file says something else that can be followed. What cannot be changes
    /// nothing, and is logged.
    fn look(&mut self) -> Option<Table> {
        let now = Stamp::of(&self.path);
        if now == self.stamp {
            return None;
        }
        self.stamp = now;
        let file = self.path.display().to_string();
        match read(&self.path) {
            Ok((text, _)) if text == self.text => None,
            Ok((text, table)) => {
                tracing::info!(file, "the routes were read again");
                self.text = text;
                Some(table)
            }
            Err(error) => {
                let error = with_causes(error.as_ref());
                tracing::warn!(file, error, "the routes stay as they were");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_is_followed_and_a_mistake_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("routes.toml");
        let write = |text: &str| fs::write(&path, text).expect("written");
        write("[route.a]\nto = 'web'");
        let (mut file, table) = RoutesFile::open(path.clone()).expect("it can be followed");
        assert!(table.route("a").is_some());
        assert_eq!(file.look(), None, "nothing has changed");
        write("[route.b]\nto = 5 # a mistake");
        assert_eq!(file.look(), None);
        write("[route.bb]\nto = 'web'");
        let table = file.look().expect("it has changed");
        assert!(table.route("bb").is_some() && file.text().contains("bb"));
        fs::remove_file(&path).expect("removed");
        assert_eq!(file.look(), None, "a file that is gone changes nothing either");
        let told = RoutesFile::open(path).expect_err("it is gone");
        assert!(format!("{told:#}").contains("cannot read the routes"), "{told:#}");
    }
}
