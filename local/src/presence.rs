//! Discovery of a service that runs on this machine by other commands of the same user.
//!
//! Each run writes one file with its address and its secret into a folder that only its user may
//! enter, beside a [socket](crate::operate::Socket), and removes both when it ends. What a run left
//! that was killed is recognised by its process, which is gone, and removed at the next discovery.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getuid, test_kill_process};
use serde::{Deserialize, Serialize};
use tidegate_trust::Secret;

use crate::names::service_of;

/// Most files read; a user has a handful of services at a time.
const FILES_MAX: usize = 1_000;

/// Longest file that is read: a name and an address are a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Longest path of a socket that every system takes: Linux has 108 bytes for it with the zero at
/// its end, others four less.
const SOCKET_PATH_BYTES_MAX: usize = 103;

/// Bits of a folder's mode that would let others in.
const OTHERS: u32 = 0o077;

/// What a run publishes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Id of its process.
    pub pid: i32,
    /// The revision, `namespace/name`; or several services by their names, with commas between.
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
    /// What this process is found by, as a run that serves `revision`.
    pub(crate) fn ours(revision: &str, controller: SocketAddr, secret: &Secret) -> Self {
        Self {
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            revision: revision.to_owned(),
            controller: controller.to_string(),
            secret: secret.reveal().to_owned(),
        }
    }

    /// Whether it serves what a person calls so: a revision with or without its namespace, a
    /// service, or a revision of it.
    #[must_use]
    pub fn serves(&self, asked: &str) -> bool {
        let bare = asked.rsplit('/').next().unwrap_or(asked);
        let mut all = self.revision.split(',');
        all.any(|served| {
            let name = served.rsplit('/').next().unwrap_or(served);
            served == asked || name == asked || service_of(bare) == Some(served)
        })
    }

    /// Makes this run discoverable.
    ///
    /// # Errors
    ///
    /// When the folder is not ours alone, or cannot be written to.
    pub fn announce(&self) -> io::Result<Announced> {
        self.announce_in(&folder())
    }

    /// Where this run's socket is, if it has one.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        folder().join(socket_name(self.pid))
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

/// Where this process may put its socket: nobody else can enter the folder, which is made.
///
/// # Errors
///
/// When the folder is not ours alone, or its path is too long for a socket.
pub fn socket_path() -> io::Result<PathBuf> {
    let folder = private_folder()?;
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    short_enough(folder.join(socket_name(pid)))
}

/// The folder of this user's runs, which nobody else can enter; it is made.
pub(crate) fn private_folder() -> io::Result<PathBuf> {
    let folder = folder();
    make_private(&folder)?;
    Ok(folder)
}

fn socket_name(pid: i32) -> String {
    format!("run-{pid}.sock")
}

fn short_enough(path: PathBuf) -> io::Result<PathBuf> {
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Ok(path);
    }
    let problem = format!(
        "{} has {bytes} bytes, and a socket's path may have {SOCKET_PATH_BYTES_MAX}: set \
         XDG_RUNTIME_DIR to a folder with a shorter path",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::InvalidFilename, problem))
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
    let paths = entries.take(FILES_MAX).flatten().map(|entry| entry.path());
    let (sockets, files): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.partition(|path| path.extension().is_some_and(|extension| extension == "sock"));
    for socket in sockets.iter().filter(|path| owner(path).is_some_and(|pid| !is_alive(pid))) {
        let _ = std::fs::remove_file(socket);
    }
    let mut found: Vec<Presence> = files.iter().filter_map(|path| look(path)).collect();
    found.sort_by_key(|presence| presence.pid);
    found
}

/// The run that wrote a file, if it still runs.
fn look(path: &Path) -> Option<Presence> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let presence: Presence = serde_json::from_str(&text).ok()?;
    let alive = is_alive(presence.pid);
    if !alive {
        let _ = std::fs::remove_file(path);
    }
    alive.then_some(presence)
}

/// The process that a socket is named for.
fn owner(socket: &Path) -> Option<i32> {
    socket.file_stem()?.to_str()?.strip_prefix("run-")?.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
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
    fn a_run_is_asked_for_by_what_it_serves() {
        let one = presence(1);
        assert!(one.serves("web") && one.serves("local/web") && !one.serves("web-00001"));
        let several = Presence { revision: "api,web".into(), ..presence(1) };
        for asked in ["web", "api", "web-00001", "local/web-00012"] {
            assert!(several.serves(asked), "{asked}");
        }
        assert!(!several.serves("db") && !several.serves("db-00001"));
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
        let sockets = [gone.id(), std::process::id()]
            .map(|pid| folder.join(socket_name(i32::try_from(pid).expect("a process"))));
        for socket in &sockets {
            std::fs::write(socket, "").expect("writable");
        }
        assert!(running_in(&folder).is_empty());
        assert!(!left.path.exists());
        assert_eq!(sockets.map(|socket| socket.exists()), [false, true], "only what is left goes");
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_with_what_to_do() {
        assert!(short_enough("/run/user/1000/tidegate/run-4194304.sock".into()).is_ok());
        let error = short_enough(format!("/{}", "x".repeat(200)).into()).expect_err("too long");
        assert!(error.to_string().contains("XDG_RUNTIME_DIR"), "{error}");
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
