//! `TIDEGATE_RECORD`: one row for each request, for the simulator to replay.
//!
//! The file is CSV with the header [`HEADER`]. Several processes may append to the same file: the
//! one that creates it writes the header, and rows are written whole.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::nonblocking_writer::{NonBlockingWriter, WriterGuard};

/// The first line of the file.
pub const HEADER: &str =
    "start_unix_us,wait_us,service_us,status,request_bytes,response_bytes,revision,instance,cold\n";

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// When it arrived.
    pub start: SystemTime,
    /// How long it waited in the queue.
    pub wait: Duration,
    /// How long the app worked on it.
    pub service: Duration,
    /// The status that the client got.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Whether it arrived before the app was ready for the first time.
    pub cold: Cold,
}

/// Whether a request met an app that had never been ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cold {
    /// It did.
    Yes,
    /// It did not.
    No,
}

/// Writes rows.
#[derive(Debug, Clone)]
pub struct Recorder {
    writer: NonBlockingWriter,
    /// `,revision,instance,` as it stands in each row.
    names: String,
}

impl Row {
    /// The row as it stands in the file, with its newline; `names` is `,revision,instance,`, each
    /// quoted as it must be.
    pub fn line(&self, names: &str) -> String {
        let start = self.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!(
            "{},{},{},{},{},{}{names}{}\n",
            start.as_micros(),
            self.wait.as_micros(),
            self.service.as_micros(),
            self.status,
            self.request_bytes,
            self.response_bytes,
            u8::from(self.cold == Cold::Yes),
        )
    }
}

impl Recorder {
    /// Opens `path` to append, and writes the header if the file is new.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created.
    pub fn open(
        path: &Path,
        revision: &str,
        instance: &str,
    ) -> std::io::Result<(Self, WriterGuard)> {
        let file = open(path)?;
        let (writer, flush) = NonBlockingWriter::start("record", file)?;
        let names = format!(",{},{},", quote(revision), quote(instance));
        Ok((Self { writer, names }, flush))
    }

    /// Hands over one row. Never waits.
    pub fn write(&self, row: &Row) {
        self.writer.write(row.line(&self.names).as_bytes());
    }

    /// Rows lost to a full buffer or to a file that refused them.
    pub fn lost(&self) -> u64 {
        self.writer.dropped() + self.writer.failed()
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    match OpenOptions::new().append(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(HEADER.as_bytes())?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mut file = OpenOptions::new().append(true).open(path)?;
            if file.metadata()?.is_file() && file.metadata()?.len() == 0 {
                file.write_all(HEADER.as_bytes())?;
            }
            Ok(file)
        }
        Err(error) => Err(error),
    }
}

/// A field of a CSV row, quoted when it must be.
pub fn quote(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_share_one_file_with_one_header() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace.csv");
        let row = Row {
            start: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
            wait: Duration::from_micros(12),
            service: Duration::from_micros(3400),
            status: 200,
            request_bytes: 5,
            response_bytes: 64,
            cold: Cold::Yes,
        };
        let (first, first_flush) = Recorder::open(&path, "web", "web-1").unwrap();
        let (second, second_flush) = Recorder::open(&path, "web", "a,\"b\"").unwrap();
        first.write(&row);
        first_flush.finish();
        second.write(&Row { cold: Cold::No, status: 503, ..row });
        second_flush.finish();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!(
                "{HEADER}1700000000000001,12,3400,200,5,64,web,web-1,1\n\
                 1700000000000001,12,3400,503,5,64,web,\"a,\"\"b\"\"\",0\n"
            )
        );
    }

    #[test]
    fn a_path_that_cannot_be_written_is_an_error() {
        assert!(Recorder::open(Path::new("/nowhere/at/all.csv"), "web", "1").is_err());
    }
}
