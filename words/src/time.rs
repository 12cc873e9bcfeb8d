//! Lengths of time as people type them: `90s`, `1m30s`, `1.5s`, `250ms`; a bare number is seconds.
//!
//! This is the grammar of every flag, scenario and specification of Tidegate. Values of Knative's
//! own settings are parsed as Go does instead, where a bare number is refused, because a manifest
//! must mean the same in both.

use std::fmt;
use std::time::Duration;

/// Longest time that is taken, seconds: what fits into 64 bits of nanoseconds, about 584 years.
pub const TIME_MAX_S: f64 = 18_446_744_073.0;

/// Every unit with its length in seconds; the first spelling of each is the usual one.
const UNITS: [(&[&str], f64); 8] = [
    (&["ns", "nsec", "nanos"], 1e-9),
    (&["us", "µs", "μs", "usec", "micros"], 1e-6),
    (&["ms", "msec", "millis"], 1e-3),
    (&["s", "sec", "secs", "second", "seconds"], 1.0),
    (&["m", "min", "mins", "minute", "minutes"], 60.0),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600.0),
    (&["d", "day", "days"], 86_400.0),
    (&["w", "week", "weeks"], 604_800.0),
];

/// Why a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotATime {
    /// It is not of the form `number unit`, repeated, nor a bare number.
    Syntax,
    /// It is below zero.
    Negative,
    /// It is longer than [`TIME_MAX_S`].
    TooLong,
}

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "expected a time such as 5s, 1m30s or 250ms",
            Self::Negative => "expected a time such as 5s, not below zero",
            Self::TooLong => "expected a time such as 5s, at most 500 years",
        })
    }
}

impl std::error::Error for NotATime {}

/// Longest time that a process on this machine waits for anything: beyond a year it is a mistake,
/// and no clock overflows below it.
pub const WAIT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Reads a length of time.
///
/// # Errors
///
/// [`NotATime`], whose text names what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, NotATime> {
    let seconds = parse_seconds(text)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| NotATime::TooLong)
}

/// A length of time as people would type it: `6s`, `1m30s`, `1h`, `250ms`;
/// [`parse_duration`] reads it back.
pub fn compact(time: Duration) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut text = String::new();
    let mut seconds = time.as_secs();
    for (unit, length) in units {
        let count = seconds / length;
        seconds %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    let mut nanos = time.subsec_nanos();
    for (unit, length) in [("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
        let count = nanos / length;
        nanos %= length;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a length of time as seconds, for those who calculate with fractions of nanoseconds; at
/// least 0 and finite.
///
/// # Errors
///
/// [`NotATime`], whose text names what was expected.
pub fn parse_seconds(text: &str) -> Result<f64, NotATime> {
    let text = text.trim();
    let (positive, is_negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (first, rest) = number(positive).ok_or(NotATime::Syntax)?;
    let mut sum = 0.0;
    match rest.trim_start() {
        "" => sum = first,
        _ => {
            let (mut value, mut rest) = (first, rest);
            loop {
                let (length_s, behind) = unit(rest.trim_start()).ok_or(NotATime::Syntax)?;
                sum += value * length_s;
                let behind = behind.trim_start();
                if behind.is_empty() {
                    break;
                }
                (value, rest) = number(behind).ok_or(NotATime::Syntax)?;
            }
        }
    }
    if is_negative && sum > 0.0 {
        return Err(NotATime::Negative);
    }
    if sum > TIME_MAX_S { Err(NotATime::TooLong) } else { Ok(sum) }
}

/// A decimal number, perhaps with an exponent, at the beginning of a text; and what is behind it.
fn number(text: &str) -> Option<(f64, &str)> {
    let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count() + from;
    let mut end = digits(0);
    let mut has_digits = end > 0;
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        has_digits |= fraction > end + 1;
        end = fraction;
    }
    if !has_digits {
        return None;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['+', '-']));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// A unit at the beginning of a text; its length in seconds, and what is behind it.
fn unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let found = UNITS.iter().find(|(names, _)| names.contains(&name))?;
    Some((found.1, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("90", 90.0),
            ("0", 0.0),
            ("-0", 0.0),
            ("1.5", 1.5),
            (".5s", 0.5),
            ("1.s", 1.0),
            ("90s", 90.0),
            ("5m", 300.0),
            ("1h30m", 5_400.0),
            ("1m30s", 90.0),
            ("1m 30s", 90.0),
            ("5 s", 5.0),
            ("1.5s", 1.5),
            ("250ms", 0.25),
            ("250us", 0.00025),
            ("3µs", 3e-6),
            ("1e-3", 1e-3),
            ("1e3ms", 1.0),
            ("2days", 172_800.0),
            ("1w", 604_800.0),
            ("  7s ", 7.0),
            ("+7s", 7.0),
        ] {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "", " ", "s", "-", "+", ".", "abc", "5x", "5 5", "1h30", "NaN", "inf", "infinity",
            "--5s", "5s5", "0x10", "5S", "1e", "1e5e5s", "5,5s", "5s,", "🦀", "1.2.3s", "- 5s",
        ] {
            assert_eq!(parse_seconds(text), Err(NotATime::Syntax), "{text}");
        }
        for text in ["-5s", "-1", "-1.5h", "-0.1ms"] {
            assert_eq!(parse_seconds(text), Err(NotATime::Negative), "{text}");
        }
        for text in ["1e300", "1e999", "99999999999d", "600000000h"] {
            assert_eq!(parse_seconds(text), Err(NotATime::TooLong), "{text}");
        }
    }

    #[test]
    fn times_are_shown_as_they_are_typed() {
        for (nanos, shown) in [
            (0, "0s"),
            (6_000_000_000, "6s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h"),
            (31_536_000_000_000_000, "365d"),
            (1_500_000_000, "1s500ms"),
            (250_000_001, "250ms1ns"),
        ] {
            assert_eq!(compact(Duration::from_nanos(nanos)), shown);
            assert_eq!(parse_duration(shown), Ok(Duration::from_nanos(nanos)), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in "(?s).{0,40}") {
            if let Ok(seconds) = parse_seconds(&text) {
                prop_assert!((0.0..=TIME_MAX_S).contains(&seconds));
                prop_assert!(parse_duration(&text).is_ok());
            }
        }

        #[test]
        fn what_is_printed_reads_back(nanos in 0..=u64::MAX / 2) {
            let wanted = Duration::from_nanos(nanos);
            let read = parse_duration(&format!("{}s", wanted.as_secs_f64())).unwrap();
            prop_assert!(read.abs_diff(wanted) <= Duration::from_micros(10));
        }
    }
}
