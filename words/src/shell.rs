//! Words of a command line, quoted so that a shell reads them back.

/// `text` as one word of a POSIX shell: as it is where nothing in it means anything to a shell,
/// else between single quotes.
///
/// ```
/// use tidegate_words::shell_word;
///
/// assert_eq!(shell_word("--set"), "--set");
/// assert_eq!(shell_word("it's"), r"'it'\''s'");
/// ```
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
