//! What is wrong with a file, and where.

use std::fmt;

/// What a file says that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// The column in it, in characters, from 1.
    pub column: usize,
    /// What is wrong, and what would be accepted.
    pub what: String,
}

impl FileError {
    /// An error at a place of a text, in bytes.
    pub fn at(text: &str, offset: usize, what: impl fmt::Display) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        Self { line, column, what: what.to_string() }
    }
}
