//! What can be wrong with traffic, with the place and the remedy.

use std::fmt;
use std::io;

use tidegate_words::excerpt;

/// Where in an input something is: file, line and column, both counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Name of the file as it was given.
    pub file: String,
    /// Line, counted from 1; 0 when the whole file is meant.
    pub line: u64,
    /// Byte column in that line, counted from 1; 0 when the whole line is meant.
    pub column: usize,
}

/// Why traffic cannot be read or generated.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A row does not hold what its format promises.
    #[error("{location}: expected {expected}, found {found}{hint}")]
    BadRow {
        /// Where the offending field begins.
        location: Location,
        /// What belongs there.
        expected: String,
        /// What is there, quoted and cut.
        found: String,
        /// What to do about it, with its leading separator; may be empty.
        hint: &'static str,
    },
    /// A line is longer than any format needs.
    #[error("{location}: expected a line of at most {limit_bytes} bytes, found a longer one")]
    LineTooLong {
        /// The line.
        location: Location,
        /// The bound in bytes.
        limit_bytes: usize,
    },
    /// Rows are further out of order than the buffer that sorts them can mend.
    #[error(
        "{location}: expected rows at most {rows} rows out of order, found one that starts \
         {late_ms} ms before a row already replayed; sort the file by time or raise the reorder \
         bound"
    )]
    OutOfOrder {
        /// The late row.
        location: Location,
        /// How late it is.
        late_ms: u64,
        /// Rows the reorder buffer holds.
        rows: usize,
    },
    /// The file cannot be opened or read.
    #[error("{file}: cannot read")]
    Io {
        /// Name of the file.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// No known format begins like this.
    #[error(
        "{file}: expected the beginning of a known trace format, found {found}; name the format \
         with --format (known: {known}), or say what its fields are with --log-format or --fields"
    )]
    UnknownFormat {
        /// Name of the file.
        file: String,
        /// The first line, quoted and cut.
        found: String,
        /// Every name `--format` takes.
        known: String,
    },
    /// What a field means, or in which unit it is, is not said anywhere.
    #[error("{file}: {why}")]
    Undeclared {
        /// Name of the file.
        file: String,
        /// What is not known, and the option that says it.
        why: String,
    },
    /// The format is known, but cannot be read here.
    #[error("{file}: {why}")]
    Unsupported {
        /// Name of the file.
        file: String,
        /// What it is and what to do instead.
        why: String,
    },
    /// A whole document (HAR, Prometheus) is not what it should be.
    #[error("{file}:{line}:{column}: {problem}")]
    Document {
        /// Name of the file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected and found.
        problem: String,
    },
    /// A generator's specification cannot be understood.
    #[error("arrivals {spec}: {problem}")]
    Specification {
        /// What was typed, quoted and cut.
        spec: String,
        /// What was expected and found.
        problem: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

impl TrafficError {
    /// Whether the error condemns one row only, so that a reader asked to skip may go on.
    pub fn is_one_row(&self) -> bool {
        matches!(self, TrafficError::BadRow { .. } | TrafficError::OutOfOrder { .. })
    }

    pub(crate) fn specification(spec: &str, problem: impl Into<String>) -> Self {
        TrafficError::Specification { spec: quote(spec.as_bytes()), problem: problem.into() }
    }
}

/// `bytes` in double quotes, cut to a readable length, with nothing that could disturb a terminal.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    format!("\"{}\"", excerpt(text.trim_end_matches(['\r', '\n'])))
}

#[cfg(test)]
mod tests {
    use tidegate_words::excerpt::VALUE_CHARS_MAX;

    use super::*;

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(quote(b"abc\r\n"), "\"abc\"");
        assert_eq!(quote(b"\x1b[2Jx"), "\"\\u{1b}[2Jx\"");
        assert!(quote(&[b'x'; 500]).chars().count() <= VALUE_CHARS_MAX + 3);
    }

    #[test]
    fn places_read_like_a_compiler_writes_them() {
        let place = Location { file: "a.csv".into(), line: 12, column: 7 };
        assert_eq!(place.to_string(), "a.csv:12:7");
        assert_eq!(Location { file: "a.csv".into(), line: 0, column: 0 }.to_string(), "a.csv");
    }
}
