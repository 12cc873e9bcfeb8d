//! A line of an app's output that says that the app is ready.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What begins the sequences by which terminals are told of colours.
const ESCAPE: char = '\u{1b}';

/// A part of a line, in which `*` stands for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LinePattern {
    /// What stands between the stars, in this order.
    parts: Vec<String>,
}

impl LinePattern {
    fn new(text: &str) -> Self {
        let parts = text.split('*').filter(|part| !part.is_empty());
        Self { parts: parts.map(str::to_owned).collect() }
    }

    /// Whether a line has it in it.
    fn is_in(&self, line: &str) -> bool {
        let mut rest = line;
        self.parts.iter().all(|part| match rest.split_once(part.as_str()) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
    }
}

/// A line that is awaited.
#[derive(Debug)]
pub(super) struct AwaitedLine {
    pattern: LinePattern,
    is_seen: AtomicBool,
    seen: Notify,
}

impl AwaitedLine {
    pub(super) fn new(pattern: &str) -> Self {
        let pattern = LinePattern::new(pattern);
        Self { pattern, is_seen: AtomicBool::new(false), seen: Notify::new() }
    }

    /// Looks at a line that was written.
    pub(super) fn look_at(&self, line: &str) {
        if !self.has_come() && self.pattern.is_in(&without_colours(line)) {
            self.is_seen.store(true, Ordering::Relaxed);
            self.seen.notify_one();
        }
    }

    /// Whether it has been written.
    pub(super) fn has_come(&self) -> bool {
        self.is_seen.load(Ordering::Relaxed)
    }

    /// Waits until it has been written. Cancel safe; for one who waits.
    pub(super) async fn come(&self) {
        while !self.has_come() {
            self.seen.notified().await;
        }
    }
}

/// A line as a person reads it: what is coloured in parts is one text all the same.
fn without_colours(line: &str) -> std::borrow::Cow<'_, str> {
    if !line.contains(ESCAPE) {
        return line.into();
    }
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter != ESCAPE {
            plain.push(letter);
            continue;
        }
        // `[`, then parameters, then a letter.
        if letters.next() == Some('[') {
            letters.by_ref().find(|letter| ('\u{40}'..='\u{7e}').contains(letter));
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_of_a_line_and_a_star_is_anything() {
        for (pattern, line, is_in) in [
            ("ready", "12:00 server is ready.", true),
            ("ready", "12:00 server is Ready.", false),
            ("listening on *:8080", "INFO listening on http://127.0.0.1:8080/", true),
            ("listening on *:8080", "INFO listening on http://127.0.0.1:8081/", false),
            ("a*a", "a", false),
            ("a*a", "xaxax", true),
            ("*done*", "done", true),
            ("Größe * fertig", "Die Größe ist fertig", true),
        ] {
            assert_eq!(LinePattern::new(pattern).is_in(line), is_in, "{pattern:?} in {line:?}");
        }
    }

    #[tokio::test]
    async fn colours_are_looked_through() {
        let awaited = AwaitedLine::new("ready in * ms");
        awaited.look_at("VITE v5 starts");
        assert!(!awaited.has_come());
        awaited.look_at("VITE v5  \u{1b}[2mready in \u{1b}[0m\u{1b}[1;38;5;10m300\u{1b}[22m ms");
        awaited.come().await;
        assert!(awaited.has_come());
    }
}
