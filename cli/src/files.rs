//! Reading the files that were named, within a bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file that is read as a whole: far more than anybody writes by hand, and little
/// enough to be held, also when the name is that of a device that never ends.
pub(crate) const TEXT_BYTES_MAX: u64 = 64 << 20;

/// The text of a file of at most [`TEXT_BYTES_MAX`] bytes.
///
/// # Errors
/// What the system says; also when the file is larger, or no text.
pub(crate) fn text_of(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        let megabytes = TEXT_BYTES_MAX >> 20;
        let problem = format!("larger than {megabytes} MiB, expected a smaller file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem = format!("no text: byte {} is not UTF-8", at + 1);
        io::Error::new(io::ErrorKind::InvalidData, problem)
    })
}
