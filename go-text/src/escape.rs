//! Escapes a text for use inside another one, as the functions of Go's `text/template` do.

use std::fmt::Write as _;

use crate::quote::is_printable;

/// Escapes text for a JavaScript string, as Go's `js` does.
pub fn escape_js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            other if other == '\u{7f}' || is_printable(other) => out.push(other),
            other => {
                let _ = write!(out, "\\u{:04X}", u32::from(other));
            }
        }
    }
    out
}

/// Escapes text for HTML, as Go's `html` does.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{FFFD}'),
            other => out.push(other),
        }
    }
    out
}

/// Escapes text for a URL query, as Go's `urlquery` does.
pub fn escape_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_pages_and_queries_are_escaped_as_by_go() {
        assert_eq!(escape_js("a<b>&'\"=\\"), r#"a\u003Cb\u003E\u0026\'\"\u003D\\"#);
        assert_eq!(escape_js("\n\u{7f}\u{85}\u{2028}é"), "\\u000A\u{7f}\\u0085\\u2028é");
        assert_eq!(escape_html("<a href=\"'&\0"), "&lt;a href=&#34;&#39;&amp;\u{fffd}");
        assert_eq!(escape_query("a b/ü~"), "a+b%2F%C3%BC~");
    }
}
