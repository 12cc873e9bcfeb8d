//! A folder with what has to be known of instances that may outlive this process: a file for each,
//! and pipes with names, which whoever takes an instance over reads on.
//!
//! An app holds both ends of its pipes. So it neither fails nor is told of an end while nobody
//! reads; one that fills its pipe then waits.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::unix::pipe;

use crate::identity::InstanceName;
use crate::kept::{KeptInstance, KeptProcess};

/// Longest file that is read: names, numbers and ports are a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Most files that are read: as many instances as a machine may have.
const FILES_MAX: usize = 100_000;

/// The end of the name of an instance's file.
const RECORD: &str = "json";

/// The pipes of an instance, by the ends of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PipeName {
    Input,
    Output,
    Errors,
    Sidecar,
}

impl PipeName {
    const ALL: [Self; 4] = [Self::Input, Self::Output, Self::Errors, Self::Sidecar];

    fn end(self) -> &'static str {
        match self {
            Self::Input => "in",
            Self::Output => "out",
            Self::Errors => "err",
            Self::Sidecar => "sidecar",
        }
    }
}

/// The folder. Only its user may enter it: whoever makes it sees to that.
#[derive(Debug, Clone)]
pub struct KeepFolder {
    folder: Arc<Path>,
}

impl KeepFolder {
    /// The folder at `path`, which is there.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { folder: path.into() }
    }

    /// Where a pipe of an instance is.
    pub(super) fn pipe(&self, instance: &InstanceName, name: PipeName) -> PathBuf {
        self.path(instance.as_str(), name.end())
    }

    fn path(&self, instance: &str, end: &str) -> PathBuf {
        // A name may have a slash in it, a file's may not.
        self.folder.join(format!("{}.{end}", instance.replace('/', "_")))
    }

    /// Makes a pipe for an instance, and gives the end that is its: both of reading and writing.
    pub(super) fn make_pipe(&self, instance: &InstanceName, name: PipeName) -> io::Result<File> {
        let path = self.pipe(instance, name);
        let _ = fs::remove_file(&path);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)?;
        OpenOptions::new().read(true).write(true).open(&path)
    }

    /// What is written to a pipe, from what nobody has read on.
    pub(super) fn read_pipe(
        &self,
        instance: &InstanceName,
        name: PipeName,
    ) -> io::Result<pipe::Receiver> {
        pipe::OpenOptions::new().open_receiver(self.pipe(instance, name))
    }

    /// Writes down what there is to know of an instance, in one step.
    pub(super) fn write(&self, kept: &KeptInstance) -> io::Result<()> {
        write_record(&self.path(&kept.instance, RECORD), kept)
    }

    /// Removes what there is of an instance.
    pub fn forget(&self, instance: &str) {
        let pipes = PipeName::ALL.map(PipeName::end);
        for end in [RECORD].into_iter().chain(pipes) {
            // What is not there need not be removed.
            let _ = fs::remove_file(self.path(instance, end));
        }
    }

    /// The instances that are written down, whether they run or not.
    #[must_use]
    pub fn instances(&self) -> Vec<KeptInstance> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().take(FILES_MAX).flatten();
        let paths = entries.map(|entry| entry.path());
        let records = paths.filter(|path| path.extension().is_some_and(|end| end == RECORD));
        records.filter_map(|path| read_record(&path, FILE_BYTES_MAX)).collect()
    }
}

/// Writes a file that only its user can read, as a whole or not at all.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_record(path: &Path, record: &impl Serialize) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(new, path)
}

/// Reads such a file; `None` where there is none that can be understood, of so many bytes at most.
#[must_use]
pub fn read_record<T: DeserializeOwned>(path: &Path, bytes_max: u64) -> Option<T> {
    let length = path.metadata().ok()?.len();
    let text = fs::read(path).ok().filter(|_| length <= bytes_max)?;
    serde_json::from_slice(&text).ok()
}

impl KeptProcess {
    /// A process that runs now; `None` where that cannot be known, as on systems without `/proc`.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        started_ticks(&text).map(|started_ticks| Self { pid, started_ticks })
    }

    /// Whether it still runs, and not another one that was given its number.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// A descriptor of it, which no other process can be behind; `None` when it has ended.
    pub(super) fn open(&self) -> Option<(Pid, OwnedFd)> {
        let pid = Pid::from_raw(self.pid)?;
        // First the descriptor: if it is still the same process after that, it is the one behind.
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some((pid, descriptor))
    }
}

/// The 22nd field of a line whose second one may have anything in it, in brackets.
fn started_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A process that has ended and was not waited for has a line as well.
    let state = fields.next().filter(|state| !["Z", "X"].contains(state));
    state.and_then(|_| fields.nth(18)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_start_of_a_process_tells_it_from_the_next_one_of_its_number() {
        let line = "7 (a ) 1 b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 3141592 9 10 11";
        assert_eq!(started_ticks(line), Some(3_141_592));
        assert_eq!(started_ticks(&line.replace(" S ", " Z ")), None);
        assert_eq!(started_ticks("7 (a) S"), None);
        let pid = i32::try_from(std::process::id()).expect("a process");
        let ours = KeptProcess::of(pid).expect("it runs");
        assert!(ours.is_alive() && ours.open().is_some());
        let other = KeptProcess { started_ticks: ours.started_ticks + 1, ..ours };
        assert!(!other.is_alive() && other.open().is_none());
    }

    #[test]
    fn what_is_written_down_is_read_back_until_it_is_forgotten() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = KeepFolder::new(place.path());
        let process = KeptProcess { pid: 7, started_ticks: 8 };
        let kept = KeptInstance {
            revision: "local/web".into(),
            instance: "web/a-1".into(),
            launch: u64::MAX,
            app: process,
            sidecar: process,
            app_port: 1,
            sidecar_port: 2,
            is_proved: true,
        };
        folder.write(&kept).expect("written");
        fs::write(place.path().join("other.json"), "{").expect("written");
        let name = InstanceName::new("web/a-1").expect("valid");
        let mut end = folder.make_pipe(&name, PipeName::Output).expect("made");
        end.write_all(b"x").expect("nobody has to read it");
        assert_eq!(folder.instances(), [kept]);
        let metadata = fs::metadata(place.path().join("web_a-1.json")).expect("written");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "its user's alone");
        folder.forget("web/a-1");
        assert!(folder.instances().is_empty());
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 1);
    }
}
