//! Quotes foreign text, within a bound.
//!
//! An error that echoes its input must not become as long as its input: a line of a megabyte is of
//! no use, fills logs, and may control the terminal that shows it.

use std::borrow::Cow;

/// Longest piece of a value that a message quotes, characters.
pub const VALUE_CHARS_MAX: usize = 60;

/// Longest message of a foreign parser, characters: enough for the error and its position, and for
/// the line with its mark when that is not too long.
pub const MESSAGE_CHARS_MAX: usize = 600;

/// Longest line of such a message, characters.
pub const LINE_CHARS_MAX: usize = 160;

/// A foreign text, for quoting in one line of a message: at most [`VALUE_CHARS_MAX`]
/// characters, cut with `…`, and with control characters written out (`\n`, `\u{1b}`).
pub fn excerpt(value: &str) -> String {
    let mut shown = String::new();
    for (number, letter) in value.chars().enumerate() {
        if number == VALUE_CHARS_MAX {
            shown.push('…');
            break;
        }
        match letter.is_control() {
            true => shown.extend(letter.escape_debug()),
            false => shown.push(letter),
        }
    }
    shown
}

/// A foreign message, such as a parser's with the line that it could not read: lines longer than
/// [`LINE_CHARS_MAX`] lose their middle, and everything after [`MESSAGE_CHARS_MAX`] characters is
/// left out, both marked with `…`. Control characters other than the line's end are written out.
pub fn shorten(message: &str) -> Cow<'_, str> {
    let printable = |letter: char| !letter.is_control() || letter == '\n';
    let is_short = message.len() <= LINE_CHARS_MAX && message.chars().all(printable);
    if is_short {
        return Cow::Borrowed(message);
    }
    let mut shown = String::new();
    let mut left = MESSAGE_CHARS_MAX;
    for (number, line) in message.lines().enumerate() {
        if number > 0 {
            // The end of a line counts too: a message may be nothing else.
            let Some(rest) = left.checked_sub(1) else {
                shown.push('…');
                break;
            };
            left = rest;
            shown.push('\n');
        }
        let line = middle_out(line);
        let length = line.chars().count();
        if length > left {
            shown.extend(line.chars().take(left));
            shown.push('…');
            break;
        }
        left -= length;
        shown.push_str(&line);
    }
    Cow::Owned(shown)
}

/// A line of at most [`LINE_CHARS_MAX`] characters: its beginning and its end.
fn middle_out(line: &str) -> String {
    let half = LINE_CHARS_MAX / 2;
    let mut shown = String::new();
    let show = |shown: &mut String, letter: char| match letter.is_control() {
        true => shown.extend(letter.escape_debug()),
        false => shown.push(letter),
    };
    // No more is read than is shown, however long the line is.
    if line.chars().nth(LINE_CHARS_MAX).is_none() {
        line.chars().for_each(|letter| show(&mut shown, letter));
        return shown;
    }
    line.chars().take(half).for_each(|letter| show(&mut shown, letter));
    shown.push('…');
    let end = line.char_indices().rev().nth(half - 1).map_or(0, |(at, _)| at);
    line[end..].chars().for_each(|letter| show(&mut shown, letter));
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_cut_and_tamed() {
        assert_eq!(excerpt("plain"), "plain");
        assert_eq!(excerpt("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        let long = excerpt(&"ö".repeat(1_000));
        assert_eq!(long.chars().count(), VALUE_CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn messages_keep_their_error() {
        assert_eq!(shorten("short"), "short");
        let message = format!("error at line 1\n  | {}\n  | ^ expected `=`", "[".repeat(100_000));
        let shown = shorten(&message);
        assert!(shown.starts_with("error at line 1\n"), "{shown}");
        assert!(shown.ends_with("^ expected `=`"), "{shown}");
        assert!(shown.len() < 500, "{}", shown.len());
        assert_eq!(shorten("bell\u{7}"), "bell\\u{7}");
        assert_eq!(shorten(&"\n".repeat(100_000)).chars().count(), MESSAGE_CHARS_MAX + 1);
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_its_bound(text in "(?s).{0,3000}") {
            // A control character takes up to eight characters when it is written out.
            prop_assert!(excerpt(&text).chars().count() <= VALUE_CHARS_MAX * 8 + 1);
            let shown = shorten(&text);
            prop_assert!(shown.chars().count() <= 8 * (MESSAGE_CHARS_MAX + 2));
            prop_assert!(shown.chars().all(|letter| letter == '\n' || !letter.is_control()));
        }
    }
}
