//! Files with variables, one on each line, as shells and Compose read them.

use std::collections::BTreeMap;

use tidegate_routes::FileError;
use tidegate_words::excerpt;

/// Reads `NAME=VALUE` lines. `export` may stand before a name; what is in quotes is taken as it is,
/// but for `\n`, `\"` and `\\` in double ones; ` #` begins a comment; nothing is expanded.
///
/// # Errors
///
/// The first line that is neither that, nor empty, nor a comment.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, FileError> {
    let mut variables = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| FileError {
            line: number + 1,
            column: 1,
            what: format!("{what}, found \"{}\"", excerpt(trimmed.split('=').next().unwrap_or(""))),
        };
        let bare = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim_start();
        let (name, value) = bare.split_once('=').ok_or_else(|| wrong("expected NAME=VALUE"))?;
        let name = name.trim_end();
        if !is_variable(name) {
            return Err(wrong("expected a name of letters, digits and underscores"));
        }
        let value = value_of(value.trim()).ok_or_else(|| wrong("the quote is not closed"))?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// Whether a text is the name of a variable.
pub(crate) fn is_variable(name: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(is_byte) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The value behind an equals sign; `None` when a quote is not closed.
fn value_of(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix('\'') {
        return rest.split_once('\'').map(|(value, _)| value.to_owned());
    }
    let Some(rest) = text.strip_prefix('"') else {
        let end = [" #", "\t#"].iter().filter_map(|comment| text.find(comment)).min();
        return Some(text[..end.unwrap_or(text.len())].trim_end().to_owned());
    };
    let mut value = String::new();
    let mut letters = rest.chars();
    loop {
        match letters.next()? {
            '"' => return Some(value),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                letter @ ('"' | '\\') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_shells_write_them() {
        let text = "# a comment\n\nA=1\nexport B = two words # and why\nC='$x # y'\n\
                    D=\"a\\n\\\"b\\\"\"\nE=\nURL=http://x/#y\n";
        let read = parse(text).expect("it can be read");
        let read: Vec<(&str, &str)> = read.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(
            read,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "$x # y"),
                ("D", "a\n\"b\""),
                ("E", ""),
                ("URL", "http://x/#y")
            ]
        );
    }

    /// A value may be a secret: an error names what stands before the equals sign alone.
    #[test]
    fn mistakes_are_told_by_line_and_without_values() {
        for (text, line, what) in [
            ("A=1\nB", 2, "expected NAME=VALUE, found \"B\""),
            ("1A=hunter2", 1, "expected a name of letters, digits and underscores, found \"1A\""),
            ("A='hunter2", 1, "the quote is not closed, found \"A\""),
        ] {
            let wrong = parse(text).expect_err(text);
            assert_eq!((wrong.line, wrong.what.as_str()), (line, what));
        }
    }
}
