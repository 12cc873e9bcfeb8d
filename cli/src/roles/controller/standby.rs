//! Who decides, of several controllers of one machine: whoever holds the lock on a file.
//!
//! The system gives the lock to one process at a time, and gives it back the moment that process
//! ends, however it ends. So a controller that stands by takes over at once, and never while the
//! one before still lives: one that is only stopped, or slow, keeps the lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::oneshot;

/// Time between two looks whether the file that is locked is still the one with its name.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The right to decide, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Leadership {
    file: File,
    path: PathBuf,
}

impl Leadership {
    /// Waits until the lock on the file at `path` is ours; `waiting` is called if that is not at
    /// once. The file is made if there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be made or locked.
    ///
    /// Cancel safe, but for a thread that goes on waiting until the process ends.
    pub(crate) async fn take(path: &Path, waiting: impl FnOnce()) -> anyhow::Result<Self> {
        let mut waiting = Some(waiting);
        loop {
            let file = open(path).with_context(|| format!("cannot open {}", path.display()))?;
            let file = match file.try_lock() {
                Ok(()) => file,
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    locked(file).await.with_context(|| cannot_lock(path))?
                }
                Err(TryLockError::Error(error)) => return Err(error).context(cannot_lock(path)),
            };
            // The lock is on the file that was opened, which may have been removed meanwhile.
            if is_at(&file, path) {
                return Ok(Self { file, path: path.to_owned() });
            }
        }
    }

    /// Resolves, with why, when others could lock another file of that name, and so decide as well.
    pub(crate) async fn lost(&self) -> anyhow::Error {
        while is_at(&self.file, &self.path) {
            tokio::time::sleep(CHECK_PERIOD).await;
        }
        let path = self.path.display();
        anyhow::anyhow!(
            "{path} was removed or replaced, so that another controller may decide as well: this \
             one ends"
        )
    }
}

/// Takes what the controller before has held, such as its address. The system gives that back a
/// moment after the lock.
///
/// # Errors
///
/// The last one of `take`, when it goes on failing.
pub(crate) async fn insist<T>(take: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    const PAUSE: Duration = Duration::from_millis(10);
    const ATTEMPTS: u32 = 100;
    for _ in 1..ATTEMPTS {
        if let Ok(taken) = take() {
            return Ok(taken);
        }
        tokio::time::sleep(PAUSE).await;
    }
    take()
}

fn cannot_lock(path: &Path) -> String {
    format!("cannot lock {}", path.display())
}

fn open(path: &Path) -> io::Result<File> {
    // What is in it is nobody's business, so it is left as it is.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Waits in a thread of its own: the end of the process must not wait for the lock.
async fn locked(file: File) -> anyhow::Result<File> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("standby".to_owned()).spawn(move || {
        let locked = file.lock().map(|()| file);
        // Nobody waits any more: the lock is given back with the file.
        drop(sender.send(locked));
    })?;
    match receiver.await {
        Ok(locked) => Ok(locked?),
        Err(_) => bail!("nobody waits for it any more"),
    }
}

/// Whether the file at this path is this one.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(locked), Ok(named)) = (file.metadata(), path.metadata()) else { return false };
    (locked.dev(), locked.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_has_it_and_the_next_gets_it_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let first = Leadership::take(&path, || panic!("nobody else is there")).await;
        let first = first.expect("it is free");
        let (waits, mut waiting) = oneshot::channel();
        let mut second = {
            let path = path.clone();
            tokio::spawn(async move {
                Leadership::take(&path, move || {
                    let _ = waits.send(());
                })
                .await
                .expect("in the end")
            })
        };
        (&mut waiting).await.expect("it waits");
        assert!(!second.is_finished());
        drop(first);
        let second = (&mut second).await.expect("it is given back");
        // A file that is no longer at its name is no lock on anything.
        std::fs::remove_file(&path).expect("removed");
        assert!(second.lost().await.to_string().contains("was removed"));
        let third = Leadership::take(&path, || panic!("this is another file")).await;
        assert!(is_at(&third.expect("it is free").file, &path));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_made_is_named() {
        let error = Leadership::take(Path::new("/nowhere/lock"), || {}).await.expect_err("none");
        assert!(format!("{error:#}").contains("cannot open /nowhere/lock"), "{error:#}");
    }
}
