//! Discovery of a service that runs on this machine by other commands of the same user.
//!
//! Each run writes one file with its address and its secret into a folder that only its user may
//! enter, and removes it when it ends. The file of a run that was killed is recognised by its
//! process, which is gone, and removed at the next discovery.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};

/// Most files read; a user has a handful of services at a time.
const FILES_MAX: usize = 1_000;

/// Longest file that is read: a name and an address are a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bits of a folder's mode that would let others in.
const OTHERS: u32 = 0o077;

/// What a run publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Id of its process.
    pub pid: i32,
    /// The revision, `namespace/name`.
    pub revision: String,
    /// Where its controller listens, `host:port`.
    pub controller: String,
    /// The secret that its controller requires.
    pub secret: String,
}

/// The file of a running service; dropping it removes it.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A file that cannot be removed here is removed at the next discovery.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Presence {
    /// Makes this run discoverable.
    ///
    /// # Errors
    ///
    /// When the folder is not ours alone, or cannot be written to.
    pub fn announce(&self) -> io::Result<Announced> {
        self.announce_in(&folder())
    }

    fn announce_in(&self, folder: &Path) -> io::Result<Announced> {
        make_private(folder)?;
        let path = folder.join(format!("run-{}.json", self.pid));
        // Any old file is of a killed process with the same id: ids are unique among live ones.
        let _ = std::fs::remove_file(&path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let announced = Announced { path };
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok(announced)
    }
}

/// The services of this user that run on this machine.
pub fn running() -> Vec<Presence> {
    running_in(&folder())
}

fn running_in(folder: &Path) -> Vec<Presence> {
    if check_private(folder).is_err() {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Presence> =
        entries.take(FILES_MAX).flatten().filter_map(|entry| look(&entry.path())).collect();
    found.sort_by_key(|presence| presence.pid);
    found
}

/// The run that wrote a file, if it still runs.
fn look(path: &Path) -> Option<Presence> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let presence: Presence = serde_json::from_str(&text).ok()?;
    let alive = Pid::from_raw(presence.pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    if !alive {
        let _ = std::fs::remove_file(path);
    }
    alive.then_some(presence)
}

/// `$XDG_RUNTIME_DIR/tidegate`, or one of our own below the folder of temporary files.
fn folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| Path::new(folder).is_dir()) {
        Some(folder) => Path::new(&folder).join("tidegate"),
        None => std::env::temp_dir().join(format!("tidegate-{}", getuid().as_raw())),
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    check_private(folder)
}

/// Every user may create folders among temporary files, so one that is not ours alone is refused.
fn check_private(folder: &Path) -> io::Result<()> {
    let meta = folder.symlink_metadata()?;
    if meta.is_dir() && meta.uid() == getuid().as_raw() && meta.mode() & OTHERS == 0 {
        return Ok(());
    }
    let problem = format!("{} is not a folder of this user alone", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn presence(pid: u32) -> Presence {
        Presence {
            pid: i32::try_from(pid).expect("a process"),
            revision: "local/web".into(),
            controller: "127.0.0.1:1".into(),
            secret: "0123456789abcdef".into(),
        }
    }

    #[test]
    fn a_run_is_found_while_it_runs_and_its_file_is_its_users_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("tidegate");
        assert!(running_in(&folder).is_empty(), "no run has been announced");
        let ours = presence(std::process::id());
        let announced = ours.announce_in(&folder).expect("announced");
        let mode = |path: &Path| path.metadata().expect("it is there").mode() & 0o777;
        assert_eq!((mode(&folder), mode(&announced.path)), (0o700, 0o600));
        assert_eq!(running_in(&folder), [ours]);
        drop(announced);
        assert!(running_in(&folder).is_empty());
    }

    #[test]
    fn what_a_killed_run_left_is_ignored_and_removed() {
        let outer = tempfile::tempdir().expect("a folder");
        // A folder inside: the mode of the outer one depends on the umask.
        let folder = outer.path().join("tidegate");
        let mut gone = std::process::Command::new("true").spawn().expect("it starts");
        gone.wait().expect("it ends");
        let left = presence(gone.id()).announce_in(&folder).expect("announced");
        std::fs::write(folder.join("run-x.json"), "{").expect("writable");
        assert!(running_in(&folder).is_empty());
        assert!(!left.path.exists());
    }

    #[test]
    fn a_folder_that_others_may_enter_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("it is ours");
        assert!(presence(1).announce_in(folder.path()).is_err());
        assert!(running_in(folder.path()).is_empty());
    }
}
