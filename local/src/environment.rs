//! Variables that make an app write to a pipe as it writes to a terminal.
//!
//! Runtimes buffer output that does not go to a terminal, so that a line appears minutes later or,
//! after a crash, never; and they omit colours. Where a variable switches that off it is set,
//! unless the user has set it already.

use std::ffi::OsString;

/// Python writes each line at once.
const UNBUFFERED: (&str, &str) = ("PYTHONUNBUFFERED", "1");

/// Node's ecosystem, and Rust's and BSD's tools.
const COLOURED: [(&str, &str); 2] = [("FORCE_COLOR", "1"), ("CLICOLOR_FORCE", "1")];

/// Variables by which a user chooses colours; with any of them set, none is added.
const COLOUR_VARIABLES: [&str; 4] = ["NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"];

/// Whether colours are shown where the app's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// As on a terminal.
    Shown,
    /// As in a file.
    Unwanted,
}

/// What is added to the app's environment; `set` is whether a variable is set in ours.
#[must_use]
pub fn for_app(
    colours: Colours,
    set: impl Fn(&str) -> Option<OsString>,
) -> Vec<(OsString, OsString)> {
    let mut added = Vec::new();
    if set(UNBUFFERED.0).is_none() {
        added.push(UNBUFFERED);
    }
    let unsaid = COLOUR_VARIABLES.iter().all(|name| set(name).is_none());
    if colours == Colours::Shown && unsaid {
        added.extend(COLOURED);
    }
    added.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(colours: Colours, set: &[&str]) -> Vec<String> {
        let given = |name: &str| set.contains(&name).then(|| OsString::from("x"));
        let added = for_app(colours, given).into_iter();
        added.map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_user_has_the_last_word() {
        let terminal = Colours::Shown;
        assert_eq!(names(terminal, &[]), ["PYTHONUNBUFFERED", "FORCE_COLOR", "CLICOLOR_FORCE"]);
        assert_eq!(names(Colours::Unwanted, &[]), ["PYTHONUNBUFFERED"]);
        assert!(names(Colours::Unwanted, &["PYTHONUNBUFFERED"]).is_empty());
        for variable in COLOUR_VARIABLES {
            assert_eq!(names(terminal, &[variable]), ["PYTHONUNBUFFERED"], "{variable}");
        }
    }
}
