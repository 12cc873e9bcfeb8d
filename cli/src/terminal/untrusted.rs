//! Escapes untrusted text for a terminal: only colours keep their effect, and nothing is hidden.

use super::{Colour, Surface};

impl Surface {
    /// An app's output with everything escaped that moves the cursor, changes the terminal or is
    /// invisible; colours stay where there are any.
    pub(crate) fn tame(self, line: &str) -> String {
        if line.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte)) {
            return line.to_owned();
        }
        let keeps = self == Self::Terminal(Colour::On);
        let mut tamed = String::with_capacity(line.len());
        let mut rest = line;
        let mut coloured = false;
        while let Some(first) = rest.chars().next() {
            if let Some(length) = colour_code(rest) {
                if keeps {
                    tamed.push_str(&rest[..length]);
                    coloured = true;
                }
                rest = &rest[length..];
                continue;
            }
            match first != '\t' && (first.is_control() || is_unseen(first)) {
                true => tamed.extend(first.escape_default()),
                false => tamed.push(first),
            }
            rest = &rest[first.len_utf8()..];
        }
        if coloured {
            tamed.push_str("\x1b[0m");
        }
        tamed
    }
}

/// Whether a character shows nothing by itself: it reorders, hides or joins what stands around it,
/// so that a line reads as something that it is not. Unicode's separators of lines and paragraphs,
/// and its `Default_Ignorable_Code_Point` without the selectors of variants, which only choose how
/// the one before them looks.
fn is_unseen(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}')
}

/// Length of the escape sequence for a colour or a weight at the beginning of `text`.
fn colour_code(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[end..].starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_an_app_writes_controls_the_terminal() {
        let plain = Surface::Terminal(Colour::Off);
        assert_eq!(plain.tame("\x1b[2Jgone\r\tkept"), "\\u{1b}[2Jgone\\r\tkept");
        assert_eq!(plain.tame("\x1b[31mred\x1b[0m"), "red");
        let coloured = Surface::Terminal(Colour::On);
        assert_eq!(coloured.tame("\x1b[1;31mred"), "\x1b[1;31mred\x1b[0m");
        assert_eq!(coloured.tame("\x1b]0;title\x07"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(coloured.tame("\x1b["), "\\u{1b}[");
        assert_eq!(coloured.tame("\u{9b}2J"), "\\u{9b}2J");
    }

    #[test]
    fn what_is_not_seen_is_shown() {
        for (written, shown) in [
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("pay\u{200b}pal", "pay\\u{200b}pal"),
            ("one\u{2028}two", "one\\u{2028}two"),
            ("\u{feff}{}", "\\u{feff}{}"),
            ("\u{e0041}", "\\u{e0041}"),
            // Accents, variants and scripts that read from the right stay as they are.
            ("e\u{301} ❤\u{fe0f} שלום", "e\u{301} ❤\u{fe0f} שלום"),
        ] {
            assert_eq!(Surface::Lines.tame(written), shown);
            assert_eq!(Surface::Terminal(Colour::On).tame(written), shown);
        }
    }
}
