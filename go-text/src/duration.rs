//! Durations as Go writes them: `1h30m`, `1.5s`, `100ms`; a bare `0` but no other bare number.

use std::fmt;
use std::time::Duration;

/// A signed span of time in nanoseconds, read and printed in Go's syntax.
///
/// Settings keep this type until they are validated, because an invalid one may be `-5s`, and
/// because an error should show a duration the way its author writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct GoDuration {
    nanoseconds: i64,
}

const MICROSECOND_NS: i64 = 1_000;
const MILLISECOND_NS: i64 = 1_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;

impl GoDuration {
    /// No time at all.
    pub const ZERO: Self = Self { nanoseconds: 0 };

    /// A span of whole nanoseconds.
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// A span of whole milliseconds, saturating at the ends of the range (292 years).
    pub const fn from_milliseconds(milliseconds: i64) -> Self {
        Self { nanoseconds: milliseconds.saturating_mul(MILLISECOND_NS) }
    }

    /// A span of whole seconds, saturating at the ends of the range (292 years).
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { nanoseconds: seconds.saturating_mul(SECOND_NS) }
    }

    /// The span in nanoseconds.
    pub const fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The span in whole milliseconds, cut towards zero.
    pub const fn milliseconds(self) -> i64 {
        self.nanoseconds / MILLISECOND_NS
    }

    /// The span in whole seconds, cut towards zero.
    pub const fn seconds(self) -> i64 {
        self.nanoseconds / SECOND_NS
    }

    /// Whether the span is a whole number of seconds.
    pub const fn is_whole_seconds(self) -> bool {
        self.nanoseconds % SECOND_NS == 0
    }

    /// The nearest whole second, halves away from zero, saturating at the ends of the range.
    #[must_use]
    pub const fn round_to_second(self) -> Self {
        let rest = self.nanoseconds % SECOND_NS;
        let floor = self.nanoseconds - rest;
        let nanoseconds = if rest <= -SECOND_NS / 2 {
            match floor.checked_sub(SECOND_NS) {
                Some(rounded) => rounded,
                None => i64::MIN,
            }
        } else if rest >= SECOND_NS / 2 {
            match floor.checked_add(SECOND_NS) {
                Some(rounded) => rounded,
                None => i64::MAX,
            }
        } else {
            floor
        };
        Self { nanoseconds }
    }

    /// The standard library's duration; negative spans become zero.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }

    /// Reads Go's syntax: an optional sign, then decimal numbers each with a unit of `ns`, `us`
    /// (`µs`, `μs`), `ms`, `s`, `m` or `h`. Fractions below a nanosecond are cut.
    ///
    /// # Errors
    ///
    /// When the text has no number, no unit, an unknown unit, or is out of range.
    pub fn parse(text: &str) -> Result<Self, DurationError> {
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(DurationError::Invalid);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (part, after) = parse_part(rest)?;
            total = total.checked_add(part).ok_or(DurationError::TooLong)?;
            if total > 1 << 63 {
                return Err(DurationError::TooLong);
            }
            rest = after;
        }
        if negative {
            return Ok(Self { nanoseconds: 0i64.wrapping_sub_unsigned(total) });
        }
        let nanoseconds = i64::try_from(total).map_err(|_| DurationError::TooLong)?;
        Ok(Self { nanoseconds })
    }
}

/// One number with its unit, in nanoseconds, and the text after it.
fn parse_part(text: &str) -> Result<(u64, &str), DurationError> {
    let whole_end = digits_end(text);
    let (whole_text, mut rest) = text.split_at(whole_end);
    let mut fraction_text = "";
    if let Some(after_point) = rest.strip_prefix('.') {
        (fraction_text, rest) = after_point.split_at(digits_end(after_point));
    }
    if whole_text.is_empty() && fraction_text.is_empty() {
        return Err(DurationError::Invalid);
    }
    let unit_end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit_text, rest) = rest.split_at(unit_end);
    let unit = match unit_text {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND_NS,
        "ms" => MILLISECOND_NS,
        "s" => SECOND_NS,
        "m" => MINUTE_NS,
        "h" => HOUR_NS,
        _ => return Err(DurationError::UnknownUnit),
    }
    .unsigned_abs();
    let whole: u64 = match whole_text {
        "" => 0,
        digits => digits.parse().map_err(|_| DurationError::TooLong)?,
    };
    let whole_ns = whole.checked_mul(unit).filter(|&ns| ns <= 1 << 63);
    let part = whole_ns
        .ok_or(DurationError::TooLong)?
        .checked_add(fraction_nanoseconds(fraction_text, unit))
        .filter(|&ns| ns <= 1 << 63);
    Ok((part.ok_or(DurationError::TooLong)?, rest))
}

fn digits_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// `0.digits` of a unit, through doubles as Go does it, so that both cut the same.
fn fraction_nanoseconds(digits: &str, unit: u64) -> u64 {
    let mut fraction: u64 = 0;
    let mut scale = 1.0;
    for byte in digits.bytes() {
        let next = fraction.checked_mul(10).and_then(|f| f.checked_add(u64::from(byte - b'0')));
        // Digits beyond 63 bits are far below a nanosecond: ignored.
        match next.filter(|&next| next <= 1 << 63) {
            Some(next) => fraction = next,
            None => break,
        }
        scale *= 10.0;
    }
    (fraction as f64 * (unit as f64 / scale)) as u64
}

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// The text is not of the form `number unit`, repeated.
    Invalid,
    /// A number has no unit.
    MissingUnit,
    /// A unit is none of ns, us, ms, s, m, h.
    UnknownUnit,
    /// The duration exceeds the 292 years that fit.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not a duration such as 30s, 1m30s or 1.5h",
            Self::MissingUnit => "a number lacks its unit (ns, us, ms, s, m or h)",
            Self::UnknownUnit => "a unit is not one of ns, us, ms, s, m, h",
            Self::TooLong => "longer than 292 years",
        })
    }
}

impl std::error::Error for DurationError {}

impl From<Duration> for GoDuration {
    /// Saturates at 292 years.
    fn from(duration: Duration) -> Self {
        Self { nanoseconds: i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX) }
    }
}

impl fmt::Display for GoDuration {
    /// As Go prints it: `1h0m0s`, `1m30s`, `1.5s`, `5ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            f.write_str("-")?;
        }
        let below_second = [(1_000, 1, "ns"), (1_000_000, 1_000, "µs")];
        let second = SECOND_NS.unsigned_abs();
        if magnitude == 0 {
            return f.write_str("0s");
        }
        for (limit, unit, name) in below_second {
            if magnitude < limit {
                return write!(f, "{}{name}", decimal(magnitude, unit));
            }
        }
        if magnitude < second {
            return write!(f, "{}ms", decimal(magnitude, 1_000_000));
        }
        let minute = MINUTE_NS.unsigned_abs();
        let hours = magnitude / HOUR_NS.unsigned_abs();
        let minutes = magnitude / minute % 60;
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", decimal(magnitude % minute, second))
    }
}

/// `value / unit` with as many decimals as needed; `unit` is a power of ten.
fn decimal(value: u64, unit: u64) -> String {
    let fraction = value % unit;
    if fraction == 0 {
        return (value / unit).to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / unit, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanoseconds(text: &str) -> Result<i64, DurationError> {
        GoDuration::parse(text).map(GoDuration::nanoseconds)
    }

    #[test]
    fn reads_what_go_reads() {
        let cases = [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001),
            ("1.5h", 5_400_000_000_000),
            ("-1.5s", -1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("3µs", 3_000),
            ("3μs", 3_000),
            ("2s1h", 3_602_000_000_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("0.5ns", 0),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ];
        for (text, expected) in cases {
            assert_eq!(nanoseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        let cases = [
            ("", DurationError::Invalid),
            ("-", DurationError::Invalid),
            ("m", DurationError::Invalid),
            (".s", DurationError::Invalid),
            ("60", DurationError::MissingUnit),
            ("1h60", DurationError::MissingUnit),
            ("1 s", DurationError::UnknownUnit),
            ("1d", DurationError::UnknownUnit),
            ("1S", DurationError::UnknownUnit),
            ("9223372036854775808ns", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
            ("3000000h", DurationError::TooLong),
        ];
        for (text, expected) in cases {
            assert_eq!(nanoseconds(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn prints_as_go_prints() {
        for text in ["0s", "1h0m0s", "1m30s", "1.5s", "5.999s", "100ms", "1.5µs", "7ns", "-2m0s"] {
            assert_eq!(GoDuration::parse(text).map(|d| d.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn rounds_halves_away_from_zero() {
        for (text, seconds) in [("600ms", 1), ("499ms", 0), ("4.5s", 5), ("-1.5s", -2)] {
            let rounded = GoDuration::parse(text).map(GoDuration::round_to_second);
            assert_eq!(rounded, Ok(GoDuration::from_seconds(seconds)), "{text}");
        }
        let longest = GoDuration::from_nanoseconds(i64::MAX);
        assert_eq!(longest.round_to_second(), longest);
    }
}
