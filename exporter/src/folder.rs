//! A folder in which messages outlive the process: one file each, written aside and renamed, so
//! that a file is there as a whole or not at all.
//!
//! Only what could not be sent is written, so that a link that holds costs a card no write.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::message::Format;
use crate::outbox::Parcel;

/// What every file begins with; the last letter is the version of what follows.
const MAGIC: &[u8; 4] = b"TGM1";
/// The magic, the format, two numbers of eight bytes, and a checksum of four.
const HEAD_BYTES: usize = 4 + 1 + 8 + 8 + 4;
/// The end of the names of files that are whole.
const ENDING: &str = "metrics";
/// Longest file that is read: what a message cannot reach.
const MESSAGE_BYTES_MAX: u64 = 16 << 20;

/// A folder that is ours.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    format: Format,
    kept: BTreeSet<u64>,
    /// Held as long as the folder is used.
    _lock: File,
}

/// What was found in a folder.
#[derive(Debug, Default)]
pub struct Left {
    /// The messages, in their order.
    pub parcels: Vec<Parcel>,
    /// Files that could not be used, and were removed.
    pub unusable: usize,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made, or written to.
    #[error("cannot keep metrics in {path}")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("another process keeps its metrics in {0}, expected a folder of its own for each")]
    Taken(PathBuf),
}

impl Folder {
    /// Takes the folder, which is made if it is not there, and reads what was left in it, as far as
    /// `bytes_max` goes.
    ///
    /// # Errors
    ///
    /// When it cannot be used.
    pub fn open(
        path: &Path,
        format: Format,
        bytes_max: usize,
    ) -> Result<(Self, Left), FolderError> {
        let unusable = |source| FolderError::Unusable { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(unusable)?;
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(FolderError::Taken(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let mut folder = Self { path: path.to_owned(), format, kept: BTreeSet::new(), _lock: lock };
        let left = folder.read(bytes_max).map_err(unusable)?;
        Ok((folder, left))
    }

    fn read(&mut self, bytes_max: usize) -> io::Result<Left> {
        let mut left = Left::default();
        let mut sequences = BTreeSet::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            match path.extension().and_then(|ending| ending.to_str()) {
                Some(ENDING) => sequences.extend(stem.and_then(|stem| stem.parse::<u64>().ok())),
                // Written by a process that ended before the file was whole.
                Some("part") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        let mut bytes = 0;
        // From the newest on, so that the oldest go where there are too many.
        for sequence in sequences.into_iter().rev() {
            let path = self.file(sequence);
            let parcel = read_file(&path)
                .and_then(|file| parse(&file, self.format, sequence))
                .filter(|parcel| bytes + parcel.body.len() <= bytes_max);
            match parcel {
                Some(parcel) => {
                    bytes += parcel.body.len();
                    self.kept.insert(sequence);
                    left.parcels.push(parcel);
                }
                None => {
                    left.unusable += 1;
                    fs::remove_file(&path)?;
                }
            }
        }
        left.parcels.reverse();
        Ok(left)
    }

    fn file(&self, sequence: u64) -> PathBuf {
        self.path.join(format!("{sequence:020}.{ENDING}"))
    }

    /// Writes those messages that are not in it yet.
    ///
    /// # Errors
    ///
    /// The first message that cannot be written; what is there stays.
    pub fn keep<'a>(&mut self, parcels: impl Iterator<Item = &'a Parcel>) -> io::Result<()> {
        for parcel in parcels {
            if self.kept.contains(&parcel.sequence) {
                continue;
            }
            let part = self.file(parcel.sequence).with_extension("part");
            let mut file = File::create(&part)?;
            file.write_all(&head(parcel, self.format))?;
            file.write_all(&parcel.body)?;
            file.sync_all()?;
            drop(file);
            fs::rename(&part, self.file(parcel.sequence))?;
            self.kept.insert(parcel.sequence);
        }
        Ok(())
    }

    /// Removes messages that were sent, or never will be.
    ///
    /// # Errors
    ///
    /// The first file that cannot be removed. A process that is started next would send it again.
    pub fn forget<'a>(&mut self, parcels: impl Iterator<Item = &'a Parcel>) -> io::Result<()> {
        for parcel in parcels {
            if self.kept.remove(&parcel.sequence) {
                fs::remove_file(self.file(parcel.sequence))?;
            }
        }
        Ok(())
    }
}

fn kind(format: Format) -> u8 {
    match format {
        Format::Otlp => 1,
        Format::RemoteWrite => 2,
    }
}

fn head(parcel: &Parcel, format: Format) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.push(kind(format));
    head.extend_from_slice(&parcel.points.to_le_bytes());
    head.extend_from_slice(&parcel.last_ms.to_le_bytes());
    head.extend_from_slice(&checksum(&head, &parcel.body));
    head
}

fn checksum(head: &[u8], body: &[u8]) -> [u8; 4] {
    let mut sum = flate2::Crc::new();
    sum.update(head);
    sum.update(body);
    sum.sum().to_le_bytes()
}

fn read_file(path: &Path) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    File::open(path).ok()?.take(MESSAGE_BYTES_MAX + 1).read_to_end(&mut file).ok()?;
    (file.len() as u64 <= MESSAGE_BYTES_MAX).then_some(file)
}

/// A file as a message; `None` when it is damaged, or in another format.
fn parse(file: &[u8], format: Format, sequence: u64) -> Option<Parcel> {
    let (head, body) = file.split_at_checked(HEAD_BYTES)?;
    let (said, sum) = head.split_at_checked(HEAD_BYTES - 4)?;
    if said[..4] != *MAGIC || said[4] != kind(format) || checksum(said, body) != sum {
        return None;
    }
    let number = |at: usize| said[at..at + 8].try_into().ok().map(u64::from_le_bytes);
    let (points, last_ms) = (number(5)?, number(13)?);
    Some(Parcel { sequence, body: body.to_vec().into(), points, last_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 1 << 20;

    fn parcel(sequence: u64) -> Parcel {
        let body = vec![sequence as u8; 100].into();
        Parcel { sequence, body, points: sequence + 1, last_ms: sequence * 1000 }
    }

    fn open(path: &Path) -> (Folder, Left) {
        Folder::open(path, Format::Otlp, BYTES_MAX).expect("it can be used")
    }

    #[test]
    fn what_was_kept_is_there_again_in_order() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("not/there/yet");
        let (mut folder, left) = open(&path);
        assert!(left.parcels.is_empty());
        let parcels = [parcel(3), parcel(20), parcel(100)];
        folder.keep(parcels.iter()).expect("writable");
        folder.keep(parcels.iter()).expect("once is enough");
        let taken = Folder::open(&path, Format::Otlp, BYTES_MAX).expect_err("it is ours");
        assert!(matches!(taken, FolderError::Taken(_)), "{taken}");
        drop(folder);
        let (mut folder, left) = open(&path);
        assert_eq!((left.parcels, left.unusable), (parcels.to_vec(), 0));
        folder.forget(parcels[..2].iter()).expect("removable");
        drop(folder);
        assert_eq!(open(&path).1.parcels, parcels[2..]);
    }

    #[test]
    fn damaged_files_and_those_of_another_format_are_left_out() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path();
        let (mut folder, _) = open(path);
        folder.keep((0..6).map(parcel).collect::<Vec<_>>().iter()).expect("writable");
        let file = |sequence| folder.file(sequence);
        let whole = fs::read(file(0)).expect("readable");
        let mut flipped = whole.clone();
        *flipped.last_mut().expect("not empty") ^= 1;
        fs::write(file(1), flipped).expect("writable");
        fs::write(file(2), &whole[..whole.len() - 1]).expect("writable");
        fs::write(file(3), b"").expect("writable");
        fs::write(file(9).with_extension("part"), &whole).expect("writable");
        let long = File::create(file(8)).expect("writable");
        long.set_len(MESSAGE_BYTES_MAX + 1).expect("writable");
        drop(folder);
        let (folder, left) = open(path);
        let sequences: Vec<u64> = left.parcels.iter().map(|one| one.sequence).collect();
        assert_eq!((sequences, left.unusable), (vec![0, 4, 5], 4));
        drop(folder);
        let (_, left) = Folder::open(path, Format::RemoteWrite, BYTES_MAX).expect("usable");
        assert_eq!((left.parcels.len(), left.unusable), (0, 3));
        assert_eq!(fs::read_dir(path).expect("a folder").count(), 1, "the lock alone");
    }

    #[test]
    fn the_newest_are_read_as_far_as_there_is_room() {
        let place = tempfile::tempdir().expect("a folder");
        let (mut folder, _) = open(place.path());
        folder.keep((0..10).map(parcel).collect::<Vec<_>>().iter()).expect("writable");
        drop(folder);
        let (_, left) = Folder::open(place.path(), Format::Otlp, 350).expect("usable");
        let sequences: Vec<u64> = left.parcels.iter().map(|one| one.sequence).collect();
        assert_eq!((sequences, left.unusable), (vec![7, 8, 9], 7));
    }
}
