//! Which sites there are, and how each is reached: a file, which is TOML.
//!
//! ```toml
//! [paris]                                # a controller that can be reached
//! controller = "paris.example:9400"
//! secret_file = "paris.secret"           # next to this file
//!
//! [edge-17]                              # one that calls the view
//! calls = true
//! secret_file = "edge-17.secret"
//! ```

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use tidegate_call::SiteName;
use tidegate_reporter::transport::Target;
use tidegate_routes::FileError;
use tidegate_routes::section::{At, Section, tables};
use tidegate_trust::{ClientCertificates, Credentials, SharedSecret};
use tidegate_words::shorten;

/// Most sites of a file: what one screen shows, each with a connection of its own.
pub const SITES_MAX: usize = 64;

/// Longest file: that many sites, each with five paths.
pub const FILE_BYTES_MAX: usize = 256 * 1024;

const KEYS: &[&str] = &["controller", "calls", "secret_file", "ca", "certificate", "key"];

/// Keys of a site that is dialled, and of none that calls.
const DIALLED_KEYS: &[&str] = &["controller", "ca", "certificate", "key"];

/// A controller by its name.
#[derive(Debug, Clone)]
pub struct Site {
    /// The name.
    pub name: SiteName,
    /// How it is reached.
    pub reach: Reach,
}

/// How a site is reached.
#[derive(Debug, Clone)]
pub enum Reach {
    /// It listens here, as `--controller` takes it.
    Dialled {
        /// `host:port`, or several with commas between.
        controller: String,
        /// What is shown to it.
        credentials: Credentials,
    },
    /// It calls, and shows this.
    Calls {
        /// What proves that it is this site.
        secret: SharedSecret,
    },
}

/// What of a file cannot be followed.
#[derive(Debug)]
pub enum SitesError {
    /// It cannot be read.
    Unread(PathBuf, std::io::Error),
    /// It says what cannot be followed: of each site the first.
    Wrong(PathBuf, Vec<FileError>),
}

impl std::error::Error for SitesError {}

impl fmt::Display for SitesError {
    /// Each mistake on a line of its own that editors can follow: FILE:LINE:COLUMN.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unread(path, error) => {
                write!(formatter, "cannot read the file of sites {}: {error}", path.display())
            }
            Self::Wrong(path, errors) => {
                for (number, FileError { line, column, what }) in errors.iter().enumerate() {
                    let end = if number == 0 { "" } else { "\n" };
                    write!(formatter, "{end}{}:{line}:{column}: {what}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

/// Reads the file at `path`, and the secrets and certificates that it names: paths in it are taken
/// from its folder.
///
/// # Errors
///
/// Every site that cannot be used, with the place in the file.
pub fn read(path: &Path) -> Result<Vec<Site>, SitesError> {
    let mut text = String::new();
    // One byte more than is read tells that there are more.
    let most = FILE_BYTES_MAX as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(most).read_to_string(&mut text))
        .map_err(|error| SitesError::Unread(path.to_owned(), error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&text, folder).map_err(|errors| SitesError::Wrong(path.to_owned(), errors))
}

/// Reads the text of a file whose paths are taken from `folder`.
///
/// # Errors
///
/// As [`read`].
pub fn parse(text: &str, folder: &Path) -> Result<Vec<Site>, Vec<FileError>> {
    if text.len() > FILE_BYTES_MAX {
        let what = format!("the file is too long, expected {FILE_BYTES_MAX} bytes at most");
        return Err(vec![FileError { line: 1, column: 1, what }]);
    }
    let tables = tables(text).map_err(|error| vec![error])?;
    let top = Section::top(text, &tables);
    let (mut sites, mut wrong) = (Vec::new(), Vec::new());
    for (name, value) in top.entries() {
        if sites.len() + wrong.len() == SITES_MAX {
            let what = format!("there are more than {SITES_MAX} sites");
            wrong.push(top.wrong_at(&name.span, what));
            break;
        }
        let section = top.as_section(format!("site \"{}\"", shorten(name.value)), value);
        match section.and_then(|section| site(&section, &name, folder)) {
            Ok(site) => sites.push(site),
            Err(error) => wrong.push(error),
        }
    }
    if sites.is_empty() && wrong.is_empty() {
        wrong.push(top.wrong("there is no site, expected one or more, such as [paris]"));
    }
    if !wrong.is_empty() {
        wrong.sort_by_key(|error| (error.line, error.column));
        return Err(wrong);
    }
    sites.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(sites)
}

fn site(section: &Section<'_>, name: &At<&str>, folder: &Path) -> Result<Site, FileError> {
    let parsed = name.value.parse::<SiteName>();
    let parsed = parsed.map_err(|error| section.wrong_at(&name.span, error))?;
    section.only(KEYS)?;
    let reach = match (section.text("controller")?, section.truth("calls")?.unwrap_or(false)) {
        (Some(controller), false) => dialled(section, &controller, folder)?,
        (None, true) => calling(section, folder)?,
        (Some(_), true) => {
            return Err(section.wrong("it is either dialled by `controller`, or `calls = true`"));
        }
        (None, false) => {
            let what = "expected `controller = \"HOST:PORT\"`, or `calls = true` where it calls";
            return Err(section.wrong(what));
        }
    };
    Ok(Site { name: parsed, reach })
}

fn dialled(
    section: &Section<'_>,
    controller: &At<&str>,
    folder: &Path,
) -> Result<Reach, FileError> {
    let path = |key: &str| -> Result<Option<PathBuf>, FileError> {
        Ok(section.text(key)?.map(|path| folder.join(path.value)))
    };
    let authority = path("ca")?;
    let identity = match (path("certificate")?, path("key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(section.wrong("`certificate` and `key`: expected both or none")),
    };
    let certificates = (authority.is_some() || identity.is_some())
        .then_some(ClientCertificates { authority, identity });
    let credentials = Credentials { secret: secret(section, folder)?, certificates };
    let controller_at = |error| section.wrong_at(&controller.span, format!("{error}"));
    Target::all(controller.value, &credentials).map_err(controller_at)?;
    Ok(Reach::Dialled { controller: controller.value.to_owned(), credentials })
}

fn calling(section: &Section<'_>, folder: &Path) -> Result<Reach, FileError> {
    if let Some(key) = DIALLED_KEYS.iter().find(|key| section.get(key).is_some()) {
        let span = section.place(key).unwrap_or(section.span());
        return Err(section.wrong_at(&span, format!("`{key}` is for a site that is dialled")));
    }
    match secret(section, folder)? {
        Some(secret) => Ok(Reach::Calls { secret }),
        None => Err(section.wrong("`secret_file` is missing: a site that calls proves its name")),
    }
}

fn secret(section: &Section<'_>, folder: &Path) -> Result<Option<SharedSecret>, FileError> {
    let Some(named) = section.text("secret_file")? else { return Ok(None) };
    let secret = SharedSecret::read(&folder.join(named.value));
    secret.map(Some).map_err(|error| section.wrong_at(&named.span, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("secret"), "0123456789abcdef\n").expect("writable");
        folder
    }

    #[test]
    fn sites_are_dialled_or_call() {
        let folder = folder();
        let text = "[paris]\ncontroller = \"paris.example:9400,10.0.0.1:9400\"\n\
                    secret_file = \"secret\"\n\n[edge-17]\ncalls = true\nsecret_file = \"secret\"\n\
                    [\"7\"]\ncontroller = \"[::1]:1\"\n";
        let sites = parse(text, folder.path()).expect("nothing is wrong with it");
        let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
        assert_eq!(names, ["7", "edge-17", "paris"]);
        assert!(matches!(&sites[1].reach, Reach::Calls { .. }));
        let Reach::Dialled { controller, credentials } = &sites[2].reach else { panic!("dialled") };
        assert_eq!(controller, "paris.example:9400,10.0.0.1:9400");
        assert!(credentials.secret.is_some());
        assert!(!format!("{sites:?}").contains("0123456789"), "no secret is printed");
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let folder = folder();
        let wrong = |text: &str| {
            let errors = parse(text, folder.path()).expect_err(text);
            errors.iter().map(|e| format!("{}:{}: {}", e.line, e.column, e.what)).collect()
        };
        let first = |text: &str| -> String {
            let all: Vec<String> = wrong(text);
            all.into_iter().next().unwrap_or_default()
        };
        for (text, expected) in [
            ("", "1:1: there is no site"),
            ("[paris\n", "1:7: "),
            ("[Paris]\ncontroller = \"a:1\"", "1:2: site \"Paris\": expected the name of a site"),
            ("[paris]\n", "1:1: site \"paris\": expected `controller"),
            ("paris = 1", "1:9: site \"paris\": expected a table"),
            ("[a]\ncontroller = \"a\"", "2:14: site \"a\": controller address \"a\""),
            ("[a]\ncontroler = \"a:1\"", "2:1: site \"a\": unknown key `controler`"),
            ("[a]\ncontroller = \"a:1\"\ncalls = true", "1:1: site \"a\": it is either dialled"),
            ("[a]\ncalls = true", "1:1: site \"a\": `secret_file` is missing"),
            ("[a]\ncalls = true\nca = \"x\"", "3:6: site \"a\": `ca` is for a site"),
            ("[a]\ncontroller = \"a:1\"\nkey = \"k\"", "1:1: site \"a\": `certificate` and `key`"),
            ("[a]\ncalls = true\nsecret_file = \"no\"", "3:15: site \"a\": cannot read the secret"),
            ("[a]\ncontroller = \"a:1\"\n[a]", "3:2: "),
        ] {
            let told = first(text);
            assert!(told.starts_with(expected), "{text:?}: {told}");
        }
        let several: Vec<String> = wrong("[b]\n[a]\ncalls = 1\n");
        assert_eq!(several.len(), 2, "{several:?}");
        assert!(several[0].starts_with("1:1") && several[1].starts_with("3:9"), "{several:?}");
    }

    #[test]
    fn there_are_no_more_than_a_view_shows() {
        let site = |nth| format!("[s{nth}]\ncontroller = \"a:1\"\n");
        let text: String = (0..SITES_MAX).map(site).collect();
        assert_eq!(parse(&text, Path::new(".")).map(|sites| sites.len()).ok(), Some(SITES_MAX));
        let errors = parse(&(text + &site(SITES_MAX)), Path::new(".")).expect_err("one too many");
        assert!(errors[0].what.contains("more than 64"), "{errors:?}");
        let long = "#".repeat(FILE_BYTES_MAX + 1);
        assert!(parse(&long, Path::new(".")).is_err());
    }
}
