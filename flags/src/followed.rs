//! What is seen of a file without reading it, to find out whether it has changed.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Time between two looks at a file that is followed.
pub const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What is seen of a file: whoever changes it changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// That of a file; `None` when it is not there.
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let known = fs::metadata(path).ok()?;
        Some(Self { modified: known.modified().ok(), bytes: known.len(), inode: known.ino() })
    }
}
