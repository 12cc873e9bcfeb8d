//! Lines of text by a declared format: where in a line which variable stands.

use crate::field::Span;
use crate::notation::{self, Piece};
use crate::variables;

/// A format ready to be matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Text before the first variable.
    before: Vec<u8>,
    variables: Vec<Variable>,
}

/// A variable and the text behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    /// Empty when the variable is the last thing of a line.
    behind: Vec<u8>,
    /// A quote before it and behind it: blanks may stand inside, and quotes after a backslash.
    quoted: bool,
    /// Whether the text may be several values with `, ` or ` : ` between them.
    listed: bool,
    /// Whether the text may hold blanks although nothing encloses it.
    free: bool,
}

impl Pattern {
    /// Compiles `format`, in any of the notations.
    pub(crate) fn new(format: &str) -> Result<Self, String> {
        let pieces = notation::parse(format)?;
        let mut before = Vec::new();
        let mut variables: Vec<Variable> = Vec::new();
        let mut enclosed = false;
        for piece in pieces {
            match piece {
                Piece::Variable(name) => {
                    let listed = name.starts_with("upstream_");
                    let free = matches!(name.as_str(), "prefix" | "rest" | "time_local")
                        || name.starts_with("%t")
                        || name.starts_with("gin_");
                    let behind = Vec::new();
                    variables.push(Variable { name, behind, quoted: enclosed, listed, free });
                }
                Piece::Literal(text) => {
                    let opens = text.ends_with(['"', '[', '{', '(']);
                    match variables.last_mut() {
                        Some(variable) => {
                            variable.quoted = enclosed && text.starts_with('"');
                            variable.free |= enclosed && text.starts_with([']', '}', ')']);
                            variable.behind = text.into_bytes();
                        }
                        None => before = text.into_bytes(),
                    }
                    enclosed = opens;
                }
            }
        }
        Ok(Pattern { before, variables })
    }

    /// Names of the variables, in the order of a line.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.name.as_str())
    }

    /// Where each variable of `line` lies; `Err` with the byte and the variable at which it does
    /// not follow the format.
    pub(crate) fn split(&self, line: &[u8], spans: &mut Vec<Span>) -> Result<(), (usize, &str)> {
        spans.clear();
        let line = line.trim_ascii_end();
        let first = self.variables.first().map_or("", |variable| variable.name.as_str());
        if !line.starts_with(&self.before) {
            return Err((0, first));
        }
        let mut at = self.before.len();
        for variable in &self.variables {
            let rest = &line[at..];
            let length = variable.length(rest).ok_or((at, variable.name.as_str()))?;
            if !variables::fits(&variable.name, &rest[..length]) {
                return Err((at, &variable.name));
            }
            spans.push(Span { start: at, end: at + length });
            // A literal at the very end of a line may have lost its blanks to trimming.
            at = line.len().min(at + length + variable.behind.len());
        }
        // More fields than the format has are another format.
        if at < line.len() { Err((at, "the end of the line")) } else { Ok(()) }
    }
}

impl Variable {
    /// How long the value at the beginning of `rest` is; `None` when it does not end as it should.
    fn length(&self, rest: &[u8]) -> Option<usize> {
        if self.behind.is_empty() {
            let blank = !self.free && !self.quoted && !self.listed && rest.contains(&b' ');
            return (!blank).then_some(rest.len());
        }
        let trimmed = self.behind.trim_ascii_end();
        let mut from = 0;
        loop {
            // What stands behind is a few bytes: looking for its first one costs no preparation.
            let found = memchr::memchr_iter(self.behind[0], &rest[from..])
                .find(|at| rest[from + at..].starts_with(&self.behind));
            let length = match found {
                Some(found) => from + found,
                // Blanks at the end of the line were cut.
                None if !trimmed.is_empty()
                    && rest.ends_with(trimmed)
                    && trimmed.len() < self.behind.len() =>
                {
                    rest.len() - trimmed.len()
                }
                None => return None,
            };
            if self.ends(rest, length) {
                return Some(length);
            }
            found?;
            from = length + 1;
        }
    }

    /// Whether the value may end at `length`.
    fn ends(&self, rest: &[u8], length: usize) -> bool {
        let value = &rest[..length];
        if self.quoted {
            let escapes = value.iter().rev().take_while(|byte| **byte == b'\\').count();
            return escapes % 2 == 0;
        }
        if self.free {
            return true;
        }
        if self.listed {
            let behind = &rest[length..];
            return !value.ends_with(b",")
                && !value.ends_with(b" :")
                && !behind.starts_with(b" : ")
                && !behind.starts_with(b", ");
        }
        !value.iter().any(|byte| matches!(byte, b' ' | b'"'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, line: &str, expected: Option<&[&str]>) {
        let pattern = Pattern::new(format).expect("a format");
        let mut spans = Vec::new();
        let found = pattern.split(line.as_bytes(), &mut spans).ok();
        let texts: Vec<&str> = spans.iter().map(|span| &line[span.start..span.end]).collect();
        assert_eq!(found.map(|()| texts), expected.map(<[&str]>::to_vec), "{format}: {line}");
    }

    #[test]
    fn values_end_where_the_format_says() {
        check("$a \"$b\" $c", "1 \"x \\\" y\" z", Some(&["1", "x \\\" y", "z"]));
        check(
            "$a [$time_local] $b",
            "x [10/Oct/2000:13:55:36 -0700] y",
            Some(&["x", "10/Oct/2000:13:55:36 -0700", "y"]),
        );
        check("$upstream_addr $status", "a:1, b:2 : c:3 200", Some(&["a:1, b:2 : c:3", "200"]));
        check("${duration_ms}ms", "205ms", Some(&["205"]));
        check("$a $status", "x 2000", None);
        check("$a $b", "x y z", None);
        check("$a \"$b\"", "x y", None);
        check("%h [%D]", "h [7]", Some(&["h", "7"]));
    }
}
