//! A value built from files, rebuilt when their content changes: certificates and secrets are
//! renewed while the process that presents them runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::pem::{PemFile, TlsError};
use crate::rereads;

/// How often certificates and secrets are checked: soon enough for any that is renewed before it
/// ends, rarely enough that reading a few small files costs nothing.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);

/// A value built from files. The last good one holds until the files build another: files
/// that cannot be used change nothing.
pub struct Renewed<T> {
    /// What the files hold, for the log.
    what: &'static str,
    paths: Vec<PathBuf>,
    value: RwLock<Arc<T>>,
    /// Locked while the files are read.
    watcher: Mutex<Watcher<T>>,
}

struct Watcher<T> {
    check: Box<Check<T>>,
    /// The last logged problem of files that cannot be used.
    logged: Option<String>,
}

/// Reads the files and, if they differ from those of the last check, builds the value. The error is
/// why that is not possible.
type Check<T> = dyn FnMut() -> Result<Option<T>, String> + Send;

/// The outcome of a check of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The files are unchanged.
    Unchanged,
    /// The files changed and are in use.
    Replaced,
    /// The files cannot be used, so the value from before stays.
    Kept,
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// Reads the files at `paths` and builds the value with `make`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or what is in it cannot be used.
    pub fn load<const COUNT: usize>(
        paths: [PathBuf; COUNT],
        make: impl Fn(&[PemFile; COUNT]) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        Self::load_first_by(PemFile::read, paths, make)
    }

    /// As [`Self::load`], where `read_first` reads each file for the first time.
    pub(crate) fn load_first_by<const COUNT: usize>(
        read_first: fn(&Path) -> Result<PemFile, TlsError>,
        paths: [PathBuf; COUNT],
        make: impl Fn(&[PemFile; COUNT]) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let mut seen = read(read_first, &paths)?;
        let value = make(&seen)?;
        let named = paths.to_vec();
        let check = move || {
            let files = read(PemFile::read, &paths).map_err(|error| error.to_string())?;
            if seen == files {
                return Ok(None);
            }
            let value = make(&files).map_err(|error| error.to_string())?;
            seen = files;
            Ok(Some(value))
        };
        Ok(Self::watching("certificates", named, value, check))
    }

    /// A value that `check` rebuilds. It gives `None` while the files at `paths` are unchanged, and
    /// an error when they cannot be used.
    pub(crate) fn watching(
        what: &'static str,
        paths: Vec<PathBuf>,
        value: T,
        check: impl FnMut() -> Result<Option<T>, String> + Send + 'static,
    ) -> Self {
        let watcher = Watcher { check: Box::new(check), logged: None };
        Self { what, paths, value: RwLock::new(Arc::new(value)), watcher: Mutex::new(watcher) }
    }

    /// The value in force.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.value.read())
    }

    /// Checks the files and puts changes in force; a change is logged once, and so is each problem
    /// of files that cannot be used. Reads files, so it blocks.
    pub fn renew(&self) -> Renewal {
        let what = self.what;
        let watcher = &mut *self.watcher.lock();
        match (watcher.check)() {
            Ok(made) => {
                watcher.logged = None;
                let Some(value) = made else { return Renewal::Unchanged };
                *self.value.write() = Arc::new(value);
                tracing::info!(files = ?self.paths, "{what} were replaced");
                Renewal::Replaced
            }
            Err(why) => {
                if watcher.logged.as_ref() != Some(&why) {
                    tracing::warn!("new {what} cannot be used, the old ones stay: {why}");
                    watcher.logged = Some(why);
                }
                Renewal::Kept
            }
        }
    }

    /// Checks the files now, on a thread that may block, and gives the value that is then in force.
    /// Must be called within a tokio runtime. Cancel safe.
    pub async fn renewed(self: &Arc<Self>) -> Arc<T> {
        let renewed = Arc::clone(self);
        // A check that failed to run has changed nothing.
        let _ = tokio::task::spawn_blocking(move || renewed.renew()).await;
        self.current()
    }

    /// Checks the files every `every`, and when [the process is told to](rereads), for ever. Must
    /// be called within a tokio runtime. Cancel safe.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        loop {
            rereads::due(every).await;
            self.renewed().await;
        }
    }
}

fn read<const COUNT: usize>(
    read_one: fn(&Path) -> Result<PemFile, TlsError>,
    paths: &[PathBuf; COUNT],
) -> Result<[PemFile; COUNT], TlsError> {
    let files: Result<Vec<_>, _> = paths.iter().map(|path| read_one(path)).collect();
    Ok(files?.try_into().expect("as many files as paths"))
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Renewed").field("paths", &self.paths).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of the first file, which may not be 3.
    fn length([file]: &[PemFile; 1]) -> Result<u64, TlsError> {
        let length = std::fs::metadata(file.path()).map_or(0, |meta| meta.len());
        if length == 3 { Err(file.unusable("it is three long")) } else { Ok(length) }
    }

    #[test]
    fn what_cannot_be_used_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let write = |text: &str| std::fs::write(&path, text).expect("writable");
        assert!(Renewed::load([path.clone()], length).is_err(), "it is not there");
        write("abc");
        assert!(Renewed::load([path.clone()], length).is_err(), "it cannot be used");
        write("a");
        let renewed = Renewed::load([path.clone()], length).expect("it can");
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Unchanged, 1));
        write("abc");
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Kept, 1));
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Kept, 1));
        write("a");
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Unchanged, 1));
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Kept, 1));
        write("ab");
        assert_eq!((renewed.renew(), *renewed.current()), (Renewal::Replaced, 2));
        let shown = format!("{renewed:?}");
        assert!(shown.contains("file") && !shown.contains("ab"), "{shown}");
    }
}
