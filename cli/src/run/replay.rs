//! The command that simulates a recording, ready to be pasted into a shell, and what it lacks.

use std::path::Path;

use tidegate_local::Recording;

/// What is said of the recording in `path`.
pub(super) fn words(path: &Path, recording: &Recording) -> Vec<String> {
    let path = quoted(&path.display().to_string());
    let mut words = vec![format!("replay with: tidegate sim run --trace {path}")];
    let lost = recording.lost();
    if lost > 0 {
        words.push(format!(
            "{lost} lines of the recording could not be written: the disk was too slow or full"
        ));
    }
    words
}

/// An argument as a shell reads it back: as it is, or in single quotes.
fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,%+@".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_meant() {
        assert_eq!(quoted("a/b-c_1.csv"), "a/b-c_1.csv");
        assert_eq!(quoted("my trace.csv"), "'my trace.csv'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
    }
}
