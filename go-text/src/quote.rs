//! Quoted strings, as Go's `strconv.Quote` writes them.

use std::fmt::Write as _;

/// `text` between double quotes, with what cannot be printed escaped: `\n`, `\x00`, `\u00ad`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            printable if is_printable(printable) => out.push(printable),
            other => push_escaped(&mut out, other),
        }
    }
    out.push('"');
    out
}

fn push_escaped(out: &mut String, character: char) {
    // Writing to a string cannot fail.
    let _ = match u32::from(character) {
        code if character.is_ascii() => write!(out, "\\x{code:02x}"),
        code @ ..=0xffff => write!(out, "\\u{code:04x}"),
        code => write!(out, "\\U{code:08x}"),
    };
}

/// Whether Go's `unicode.IsPrint` holds: letters, marks, numbers, punctuation, symbols, and of all
/// spaces the ASCII one.
pub fn is_printable(character: char) -> bool {
    // The standard library has this table, but shows it only while it escapes: behind another
    // character, because in front even a mark, which Go prints, would be escaped.
    let mut pair = [0; 5];
    pair[0] = b'a';
    let length = 1 + character.encode_utf8(&mut pair[1..]).len();
    let text = std::str::from_utf8(&pair[..length]).unwrap_or_default();
    matches!(character, '\\' | '"' | '\'') || text.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_by_go() {
        for (text, expected) in [
            ("", r#""""#),
            ("c", r#""c""#),
            ("say \"hi\" \\ 'so'", r#""say \"hi\" \\ 'so'""#),
            ("\u{7}\u{8}\u{c}\n\r\t\u{b}", r#""\a\b\f\n\r\t\v""#),
            ("\0\u{1b}\u{7f}", r#""\x00\x1b\x7f""#),
            ("\u{85}\u{a0}\u{ad}\u{feff}", r#""\u0085\u00a0\u00ad\ufeff""#),
            ("\u{e0001}", r#""\U000e0001""#),
            ("a\u{301} é 世界 😀", "\"a\u{301} é 世界 😀\""),
            ("\u{301}", "\"\u{301}\""),
        ] {
            assert_eq!(quote(text), expected);
        }
    }
}
