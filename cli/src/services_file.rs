//! A file with services: read at the start, and again whenever it, or a file of variables that it
//! names, has changed.

use std::fmt;
use std::path::{Path, PathBuf};

use tidegate_local::environment::Colours;
use tidegate_local::platform::{Surroundings, check};
use tidegate_services::{FileError, Ignored, Services};

use tidegate_flags::files::text_of;
use tidegate_flags::followed::Stamp;

/// The file that is read when none is named.
pub(crate) const USUAL: &str = "tidegate.toml";

/// A file that is followed.
#[derive(Debug)]
pub(crate) struct ServicesFile {
    path: PathBuf,
    /// What was seen of it and of the files that it names, before they were read.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) services: Services,
    /// What of it means nothing here.
    pub(crate) ignored: Vec<Ignored>,
}

/// Why a file cannot be followed.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It cannot be read.
    Unread(PathBuf, std::io::Error),
    /// What stands in it.
    Wrong(PathBuf, Vec<FileError>),
}

impl std::error::Error for Unusable {}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(path, error) => {
                write!(f, "cannot read {}: {error}", path.display())?;
                let is_missing = error.kind() == std::io::ErrorKind::NotFound;
                if is_missing && path.as_path() == Path::new(USUAL) {
                    f.write_str("; `tidegate init` writes one, -f names another")?;
                }
                Ok(())
            }
            Self::Wrong(path, errors) => {
                let lines = errors.iter().map(|error| in_file(path, error));
                f.write_str(&lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

/// An error as compilers and editors have it: file, line, column.
pub(crate) fn in_file(path: &Path, FileError { line, column, what }: &FileError) -> String {
    format!("{}:{line}:{column}: {what}", path.display())
}

/// What is ignored, in the same form.
pub(crate) fn ignored_in(path: &Path, Ignored { line, column, what }: &Ignored) -> String {
    format!("{}:{line}:{column}: ignored: {what}", path.display())
}

impl ServicesFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, stamps: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, however it was named.
    pub(crate) fn place(&self) -> PathBuf {
        self.path.canonicalize().unwrap_or_else(|_| self.path.clone())
    }

    /// What services of this file have in common.
    pub(crate) fn surroundings(&self, colours: Colours) -> Surroundings {
        Surroundings { folder: self.folder(), colours }
    }

    /// The folder that what stands in the file is relative to.
    fn folder(&self) -> PathBuf {
        let parent = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = parent.unwrap_or(Path::new("."));
        folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
    }

    /// Whether it, or a file that it names, is another one than was read last.
    pub(crate) fn has_changed(&self) -> bool {
        self.stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// Everything that cannot be followed.
    pub(crate) fn read(&mut self) -> Result<Contents, Unusable> {
        // Before it is read: what changes in between is then read once more.
        self.stamps = vec![(self.path.clone(), Stamp::of(&self.path))];
        let text = text_of(&self.path);
        let text = text.map_err(|error| Unusable::Unread(self.path.clone(), error))?;
        let wrong = |errors| Unusable::Wrong(self.path.clone(), errors);
        let is_yaml = self.path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let (mut services, ignored) = match is_yaml {
            true => Services::parse_knative(&text).map_err(wrong)?,
            false => (Services::parse(&text).map_err(wrong)?, Vec::new()),
        };
        let folder = self.folder();
        let mut stamps = Vec::new();
        let read = services.read_env_files(|name| {
            let path = folder.join(name);
            stamps.push((path.clone(), Stamp::of(&path)));
            text_of(&path).map_err(|error| format!("cannot read {name}: {error}"))
        });
        self.stamps.extend(stamps);
        read.map_err(|errors| Unusable::Wrong(self.path.clone(), errors))?;
        Ok(Contents { services, ignored })
    }

    /// Reads it, and checks it against this machine.
    ///
    /// # Errors
    ///
    /// Everything that cannot be followed here.
    pub(crate) fn read_and_check(&mut self) -> Result<Contents, Unusable> {
        let contents = self.read()?;
        let wrong = check(&contents.services, &self.surroundings(Colours::Unwanted));
        match wrong.is_empty() {
            true => Ok(contents),
            false => Err(Unusable::Wrong(self.path.clone(), wrong)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_of_the_file_or_of_its_variables_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        write(".env", "A=1");
        let text = "[service.web]\ncommand = 'sh'\nenv_files = ['.env']\n";
        let mut file = ServicesFile::new(write("tidegate.toml", text));
        let services = file.read_and_check().expect("it can be followed").services;
        assert_eq!(services.services["web"].template.variables["A"], "1");
        assert!(!file.has_changed());
        write(".env", "A=22");
        assert!(file.has_changed());
        let services = file.read().expect("it can be followed").services;
        assert_eq!(services.services["web"].template.variables["A"], "22");
        write("tidegate.toml", "[service.web]\ncommand = 'no-such-program-here'\n");
        assert!(file.has_changed());
        let wrong = file.read_and_check().expect_err("there is no such program").to_string();
        assert!(wrong.contains("tidegate.toml:2:11: service \"web\": `command`: "), "{wrong}");
        fs::remove_file(file.path()).expect("removed");
        assert!(file.has_changed());
        assert!(file.read().is_err());
    }
}
