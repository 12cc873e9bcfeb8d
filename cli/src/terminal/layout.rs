//! Lines that fit a width, as they are seen: colour codes take no columns.

use crate::chart::{Ink, sparkline};

/// Parts of a line, as they are shown or with escape sequences.
enum Part {
    Shown(char),
    Code(String),
}

fn parts(line: &str) -> impl Iterator<Item = Part> {
    let mut chars = line.chars();
    std::iter::from_fn(move || {
        let first = chars.next()?;
        if first != '\x1b' {
            return Some(Part::Shown(first));
        }
        let mut code = String::from(first);
        for next in chars.by_ref() {
            code.push(next);
            if next.is_ascii_alphabetic() {
                break;
            }
        }
        Some(Part::Code(code))
    })
}

/// Columns that a line takes, colour codes not counted.
pub(super) fn columns(line: &str) -> usize {
    parts(line).filter(|part| matches!(part, Part::Shown(_))).count()
}

/// Cuts a line to so many columns, with `…` where something is missing.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let excess = columns(line) > width;
    let kept = if excess { width.saturating_sub(1) } else { width };
    let (mut out, mut shown) = (String::new(), 0);
    for part in parts(line) {
        match part {
            Part::Code(code) => out.push_str(&code),
            Part::Shown(char) if shown < kept => {
                shown += 1;
                out.push(char);
            }
            Part::Shown(_) if shown == kept && excess => {
                shown += 1;
                out.push('…');
            }
            Part::Shown(_) => {}
        }
    }
    out
}

/// Most lines of a reason in a block: most reasons fit in 80 columns.
pub(crate) const REASON_LINES: usize = 2;

/// Breaks a sentence behind `label` into at most `lines` lines of `width` columns, the further ones
/// below the first; `…` stands where it is longer.
pub(crate) fn wrap(label: &str, sentence: &str, width: usize, lines: usize) -> Vec<String> {
    let indent = columns(label);
    let room = width.saturating_sub(indent).max(1);
    let mut wrapped: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in sentence.split_whitespace() {
        if line.is_empty() {
            line.push_str(word);
        } else if columns(&line) + 1 + columns(word) <= room {
            line.push(' ');
            line.push_str(word);
        } else if wrapped.len() + 1 < lines {
            wrapped.push(std::mem::replace(&mut line, word.to_owned()));
        } else {
            // A line that is full gives its last column to the `…`.
            line.push('…');
            line = cut(&line, room);
            break;
        }
    }
    wrapped.push(line);
    wrapped
        .iter()
        .enumerate()
        .map(|(nth, line)| match nth {
            0 => format!("{label}{}", cut(line, room)),
            _ => format!("{:indent$}{}", "", cut(line, room)),
        })
        .collect()
}

/// Figures beside each other, two blanks apart, on as few lines as they fit. Empty ones are none.
pub(crate) fn flow(figures: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for figure in figures.iter().filter(|figure| !figure.is_empty()) {
        match lines.last_mut() {
            Some(line) if columns(line) + 2 + columns(figure) <= width => {
                line.push_str("  ");
                line.push_str(figure);
            }
            _ => lines.push(figure.clone()),
        }
    }
    lines
}

/// A sparkline in `width` columns that says what its highest bar stands for; nothing where there is
/// no room for it.
pub(crate) fn scaled(values: &[f64], width: usize, ink: Ink) -> (String, String) {
    const COLUMNS_MIN: usize = 10;
    const SCALE_WIDTH: usize = 9;
    let top = values.iter().copied().fold(0.0, f64::max);
    let scale = format!("max {top:.0}");
    match width.checked_sub(SCALE_WIDTH + 2).filter(|columns| *columns >= COLUMNS_MIN) {
        Some(columns) => {
            let from = values.len().saturating_sub(columns);
            let line = sparkline(&values[from..], columns, ink);
            (format!("{line:<columns$}"), scale)
        }
        None => (String::new(), scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_to_what_is_seen_and_says_so() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 3), "ab…");
        assert_eq!(cut("a\x1b[38;5;36mbc\x1b[0mdef", 3), "a\x1b[38;5;36mb…\x1b[0m");
        assert_eq!(columns("a\x1b[1mb\x1b[0m"), 2);
    }

    #[test]
    fn a_long_reason_takes_two_lines_and_says_where_it_was_cut() {
        let lines = wrap("last  ", "one two three four five six", 14, 2);
        assert_eq!(lines, ["last  one two", "      three…"]);
        let lines = wrap("last  ", "one two", 14, 2);
        assert_eq!(lines, ["last  one two"]);
        for width in 20..200 {
            let lines = wrap("last  ", &"word ".repeat(60), width, 2);
            assert!(lines.len() <= 2 && lines.iter().all(|line| columns(line) <= width));
            assert!(width > 150 || lines[1].ends_with('…'), "{lines:?}");
        }
    }

    #[test]
    fn figures_flow_into_the_width() {
        let figures = ["ready 1", "", "starting 0", "waiting 0"].map(str::to_owned);
        assert_eq!(flow(&figures, 80), ["ready 1  starting 0  waiting 0"]);
        assert_eq!(flow(&figures, 21), ["ready 1  starting 0", "waiting 0"]);
        assert_eq!(flow(&figures, 5), ["ready 1", "starting 0", "waiting 0"]);
    }

    #[test]
    fn a_sparkline_says_what_its_top_is() {
        let (line, scale) = scaled(&[0.0, 1.0, 106.0], 30, Ink::Blocks);
        assert_eq!((line.chars().count(), scale.as_str()), (19, "max 106"));
        assert_eq!(scaled(&[1.0], 10, Ink::Blocks).0, "");
    }
}
