//! Files and folders named on the command line: bounded reads, and folders made on demand.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow};

use crate::ending::mistyped;

/// Most bytes of a file that is read as a whole: far more than is ever written by hand, and little
/// enough to be held, also when the name is that of a device that never ends.
pub const TEXT_BYTES_MAX: u64 = 64 << 20;

/// The text of a file of at most [`TEXT_BYTES_MAX`] bytes.
///
/// # Errors
///
/// The system's error; also when the file is larger, or not UTF-8.
pub fn text_of(path: &Path) -> io::Result<String> {
    String::from_utf8(bytes_of(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem = format!("no text: byte {} is not UTF-8", at + 1);
        io::Error::new(io::ErrorKind::InvalidData, problem)
    })
}

/// A file of at most [`TEXT_BYTES_MAX`] bytes.
///
/// # Errors
///
/// The system's error; also when the file is larger.
pub fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        let megabytes = TEXT_BYTES_MAX >> 20;
        let problem = format!("larger than {megabytes} MiB, expected a smaller file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// Makes the folder that `flag` names, and those above it, where they are not there.
///
/// # Errors
///
/// A usage error when a file has that name; else the system's error.
pub fn make_folder(flag: &str, folder: &Path) -> anyhow::Result<()> {
    let known = folder.ancestors().find(|path| path.symlink_metadata().is_ok());
    if let Some(path) = known.filter(|path| !path.is_dir()) {
        let what = if path.is_symlink() { "a link to nothing or to a file" } else { "a file" };
        let problem = anyhow!(
            "{flag}: {} is {what}, expected a folder or a name that is free",
            path.display()
        );
        return Err(mistyped(problem));
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{flag}: cannot make the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_unless_something_else_has_its_name() {
        let above = tempfile::tempdir().expect("a folder");
        make_folder("--dir", &above.path().join("a/b")).expect("made");
        make_folder("--dir", &above.path().join("a/b")).expect("it is there");
        let file = above.path().join("file");
        std::fs::write(&file, "").expect("written");
        let link = above.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("made");
        for (path, named) in [
            (file.clone(), "file is a file"),
            (file.join("x"), "file is a file"),
            (link, "link is a link"),
        ] {
            let error = make_folder("--dir", &path).expect_err("it is taken").to_string();
            assert!(error.starts_with("--dir: ") && error.contains(named), "{error}");
            assert!(error.ends_with("expected a folder or a name that is free"), "{error}");
        }
    }
}
