//! Any text that a person typed or a file held: what is repeated of it is one short line of plain
//! text, and times are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_words::excerpt::{LINE_CHARS_MAX, MESSAGE_CHARS_MAX, VALUE_CHARS_MAX};
use tidegate_words::{did_you_mean, excerpt, nearest, parse_duration, parse_seconds, shorten};

fuzz_target!(|input: (&str, Vec<&str>)| {
    let (typed, known) = input;
    let shown = excerpt(typed);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(shown.chars().count() <= 12 * VALUE_CHARS_MAX, "{shown:?}");
    let short = shorten(typed);
    assert!(short.chars().count() <= MESSAGE_CHARS_MAX + LINE_CHARS_MAX, "{short:?}");
    let known = || known.iter().copied().take(32);
    if let Some(near) = nearest(typed, known()) {
        assert!(known().any(|name| name == near));
    }
    let _ = did_you_mean(typed, known());
    if let Ok(seconds) = parse_seconds(typed) {
        assert!(seconds.is_finite() && seconds >= 0.0);
    }
    let _ = parse_duration(typed);
});
