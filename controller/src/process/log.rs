//! Log files: everything that instances write, one file for each, within bounds.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::output_stream::OutputStream;
use crate::identity::InstanceName;

/// A file that has grown to this is renamed to `….log.1`, in place of what had that name, and a
/// new one begun: an instance has at most twice as much. Room for some hundred thousand lines.
pub const FILE_BYTES_MAX: u64 = 64 << 20;

/// Files of so many instances that have ended are kept, the newest ones.
pub const ENDED_KEPT: usize = 32;

/// Lines queued for the disk. An app that writes more waits.
const DEPTH: usize = 256;

/// A folder with one log file for each instance.
#[derive(Debug, Clone)]
pub struct LogFolder {
    folder: Arc<Path>,
    ended: Arc<Mutex<VecDeque<PathBuf>>>,
}

impl LogFolder {
    /// The folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written to.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        // Checked now rather than when the first instance writes.
        tempfile_name(folder)
            .and_then(|probe| File::create(&probe).map(|_| probe))
            .and_then(fs::remove_file)?;
        Ok(Self { folder: folder.into(), ended: Arc::default() })
    }

    /// The file of an instance. It is written by a thread that ends with the last clone of the
    /// log.
    pub(super) fn begin(&self, instance: &InstanceName) -> io::Result<Log> {
        let path = self.folder.join(format!("{instance}.log"));
        let mut file = Rotating::open(path)?;
        let (lines, mut received) = mpsc::channel::<Vec<u8>>(DEPTH);
        let ended = Arc::clone(&self.ended);
        std::thread::Builder::new().name(format!("log {instance}")).spawn(move || {
            while let Some(line) = received.blocking_recv() {
                // A full disk must not end the app: what does not fit is lost here as with any
                // redirection, and the next line is tried again.
                let _ = file.write(&line);
                if received.is_empty() {
                    let _ = file.out.flush();
                }
            }
            let _ = file.out.flush();
            let mut ended = ended.lock();
            ended.push_back(file.path);
            while ended.len() > ENDED_KEPT {
                let Some(oldest) = ended.pop_front() else { break };
                let _ = fs::remove_file(previous(&oldest));
                let _ = fs::remove_file(oldest);
            }
        })?;
        Ok(Log { lines })
    }
}

fn tempfile_name(folder: &Path) -> io::Result<PathBuf> {
    Ok(folder.join(format!(".tidegate-{}", std::process::id())))
}

/// Where the lines of one instance go.
#[derive(Debug, Clone)]
pub(super) struct Log {
    lines: mpsc::Sender<Vec<u8>>,
}

impl Log {
    /// Writes a line unchanged. Waits while the disk is behind.
    pub(super) async fn write(&self, stream: OutputStream, line: &[u8]) {
        let line = match stream {
            OutputStream::Stdout | OutputStream::Stderr => line.to_vec(),
            OutputStream::Sidecar => [b"queue-proxy | ", line].concat(),
        };
        // The thread ends after the last log only.
        let _ = self.lines.send(line).await;
    }
}

/// A file that is rotated when it is full.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl Rotating {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, out: BufWriter::new(file), bytes })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes >= FILE_BYTES_MAX {
            self.out.flush()?;
            fs::rename(&self.path, previous(&self.path))?;
            *self = Self::open(std::mem::take(&mut self.path))?;
        }
        self.bytes += line.len() as u64;
        self.out.write_all(line)
    }
}

fn previous(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_makes_room_and_only_one_old_one_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web-1.log");
        let mut file = Rotating::open(path.clone()).expect("it opens");
        for round in 0..3 {
            file.write(format!("round {round}\n").as_bytes()).expect("written");
            file.bytes = FILE_BYTES_MAX;
        }
        file.out.flush().expect("written");
        let read = |path: &Path| fs::read_to_string(path).expect("it is there");
        assert_eq!(read(&path), "round 2\n");
        assert_eq!(read(&previous(&path)), "round 1\n");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2);
    }

    #[tokio::test]
    async fn only_so_many_ended_instances_keep_their_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = LogFolder::open(folder.path()).expect("it opens");
        for number in 0..ENDED_KEPT + 5 {
            let name = InstanceName::new(&format!("web-{number}")).expect("valid");
            let log = logs.begin(&name).expect("it opens");
            log.write(OutputStream::Stdout, b"one line\n").await;
            drop(log);
            while logs.ended.lock().len() <= number.min(ENDED_KEPT - 1) {
                tokio::task::yield_now().await;
            }
        }
        let newest = folder.path().join(format!("web-{}.log", ENDED_KEPT + 4));
        // The last thread may be about to remove the oldest file.
        while fs::read_dir(folder.path()).expect("a folder").count() > ENDED_KEPT {
            tokio::task::yield_now().await;
        }
        assert_eq!(fs::read_to_string(newest).expect("kept"), "one line\n");
    }
}
