//! Fields of a line: splitting, numbers with units, stamps in the forms that logs use.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Columns a row may have: a Huawei day has 5,093 functions, a 2019 day 1,444 columns.
pub(crate) const COLUMNS_MAX: usize = 1 << 16;

/// Where one field of a line lies: bytes `start..end`, quotes not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The unit of a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

/// What a time column holds, and with it how long one of its ticks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds since the epoch of the column.
    pub(crate) nanos: i64,
    /// Length of the tick the stamp was cut to.
    pub(crate) tick_ns: u64,
}

/// How a time column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// A bare number of this unit, or ISO 8601.
    Number(Unit),
    /// A bare number of minutes.
    Minutes,
    /// A number (its unit by magnitude) or ISO 8601.
    Any,
}

impl Clock {
    /// The stamp `text` stands for.
    pub(crate) fn stamp(self, text: &[u8]) -> Option<Stamp> {
        match self {
            Clock::Number(unit) => stamp(text, Some(unit)),
            Clock::Any => stamp(text, None),
            Clock::Minutes => {
                let minutes = stamp(text, Some(Unit::Seconds))?;
                let nanos = minutes.nanos.checked_mul(60)?;
                Some(Stamp { nanos, tick_ns: minutes.tick_ns.saturating_mul(60) })
            }
        }
    }

    /// What an error names as expected.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Clock::Number(Unit::Seconds) => "a time in seconds",
            Clock::Number(Unit::Millis) => "a time in milliseconds",
            Clock::Number(Unit::Micros) => "a time in microseconds",
            Clock::Number(Unit::Nanos) => "a time in nanoseconds",
            Clock::Minutes => "a number of minutes",
            Clock::Any => "a time (a number, or like 2023-11-16T18:17:03.979Z)",
        }
    }
}

impl Unit {
    /// Nanoseconds in one.
    pub(crate) const fn nanos(self) -> i64 {
        match self {
            Unit::Seconds => 1_000_000_000,
            Unit::Millis => 1_000_000,
            Unit::Micros => 1_000,
            Unit::Nanos => 1,
        }
    }

    /// Powers of ten to nanoseconds.
    const fn exponent(self) -> i32 {
        match self {
            Unit::Seconds => 9,
            Unit::Millis => 6,
            Unit::Micros => 3,
            Unit::Nanos => 0,
        }
    }

    /// The name for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Millis => "milliseconds",
            Unit::Micros => "microseconds",
            Unit::Nanos => "nanoseconds",
        }
    }

    /// The unit a column's name ends in (`_ms`, `(s)`, `[ms]`, `_unix_us`), when it says.
    pub(crate) fn of_name(name: &str) -> Option<Unit> {
        let tail = name.trim_end_matches([')', ']', ' ']);
        let tail = tail.rsplit(['_', '(', '[', ' ', '-', '.']).next().unwrap_or("");
        match tail {
            "s" | "sec" | "secs" | "seconds" => Some(Unit::Seconds),
            "ms" | "msec" | "millis" | "milliseconds" => Some(Unit::Millis),
            "us" | "usec" | "micros" | "microseconds" => Some(Unit::Micros),
            "ns" | "nsec" | "nanos" | "nanoseconds" => Some(Unit::Nanos),
            _ => None,
        }
    }

    /// The unit in which a number this large is a moment of our age: seconds up to the year 5138.
    pub(crate) fn of_magnitude(number: &[u8]) -> Unit {
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match digits {
            0..=11 => Unit::Seconds,
            12..=14 => Unit::Millis,
            15..=17 => Unit::Micros,
            _ => Unit::Nanos,
        }
    }
}

/// Splits `line` at `separator` into `fields`, honouring double quotes around a field, in
/// which a quote is doubled.
pub(crate) fn split(line: &[u8], separator: u8, fields: &mut Vec<Span>) {
    fields.clear();
    let mut start = 0;
    loop {
        if fields.len() == COLUMNS_MAX {
            return;
        }
        let rest = &line[start..];
        if rest.first() == Some(&b'"') {
            let (end, next) = quoted_end(rest);
            fields.push(Span { start: start + 1, end: start + end });
            match memchr::memchr(separator, &rest[next..]) {
                Some(gap) => start += next + gap + 1,
                None => return,
            }
            continue;
        }
        match memchr::memchr(separator, rest) {
            Some(length) => {
                fields.push(Span { start, end: start + length });
                start += length + 1;
            }
            None => {
                fields.push(Span { start, end: line.len() });
                return;
            }
        }
    }
}

/// End of the text of a field that begins with a quote, and where the search for the separator goes
/// on. Doubled quotes stay doubled: no format puts them into a field that matters here.
fn quoted_end(rest: &[u8]) -> (usize, usize) {
    let mut at = 1;
    while let Some(found) = memchr::memchr(b'"', &rest[at..]) {
        let quote = at + found;
        if rest.get(quote + 1) != Some(&b'"') {
            return (quote, quote + 1);
        }
        at = quote + 2;
    }
    (rest.len(), rest.len())
}

/// `field` without blanks around it.
pub(crate) fn trim(field: &[u8]) -> &[u8] {
    field.trim_ascii()
}

/// Nanoseconds of the decimal number `text` of `unit`, exact to the nanosecond, rounded half away
/// from zero. `None` when it is not a finite number or does not fit.
pub(crate) fn nanos(text: &[u8], unit: Unit) -> Option<i64> {
    let text = trim(text);
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut mantissa: u64 = 0;
    let mut scale = unit.exponent();
    let mut seen = false;
    let mut fraction = false;
    for (at, &byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                // Further digits of a fraction are below what a nanosecond can show.
                if fraction && mantissa > u64::MAX / 100 {
                    continue;
                }
                mantissa = mantissa.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                scale -= i32::from(fraction);
            }
            b'.' if !fraction => fraction = true,
            b'e' | b'E' if seen => {
                let exponent: i32 = std::str::from_utf8(&digits[at + 1..]).ok()?.parse().ok()?;
                scale = scale.checked_add(exponent)?;
                break;
            }
            _ => return None,
        }
    }
    let magnitude = if seen { scaled(mantissa, scale)? } else { return None };
    Some(if negative { -magnitude } else { magnitude })
}

/// `mantissa` times ten to the `scale`, rounded.
fn scaled(mantissa: u64, scale: i32) -> Option<i64> {
    let value = if scale >= 0 {
        mantissa.checked_mul(10_u64.checked_pow(scale.unsigned_abs())?)?
    } else {
        match 10_u64.checked_pow(scale.unsigned_abs()) {
            Some(divisor) => mantissa / divisor + u64::from(mantissa % divisor >= divisor / 2),
            None => 0,
        }
    };
    i64::try_from(value).ok()
}

/// A non-negative span in nanoseconds.
pub(crate) fn span_nanos(text: &[u8], unit: Unit) -> Option<u64> {
    u64::try_from(nanos(text, unit)?).ok()
}

/// A span with its unit behind the number, as programs print it: `205ms`, `0.205 s`, `1m2.5s`; a
/// bare number is of `unit`.
pub(crate) fn suffixed_nanos(text: &[u8], unit: Unit) -> Option<i64> {
    let mut rest = trim(text);
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || !byte.is_ascii();
    if !rest.last().is_some_and(letter) {
        return nanos(rest, unit);
    }
    let mut sum: i64 = 0;
    while !rest.is_empty() {
        let number = rest.iter().position(|byte| letter(byte) || *byte == b' ')?;
        let behind = rest[number..].trim_ascii_start();
        let length = behind.iter().position(|byte| !letter(byte)).unwrap_or(behind.len());
        let (unit, factor) = match &behind[..length] {
            b"h" => (Unit::Seconds, 3_600),
            b"m" => (Unit::Seconds, 60),
            b"s" => (Unit::Seconds, 1),
            b"ms" => (Unit::Millis, 1),
            // Written with a micro sign or with the Greek letter.
            b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => (Unit::Micros, 1),
            b"ns" => (Unit::Nanos, 1),
            _ => return None,
        };
        let part = nanos(&rest[..number], unit)?.checked_mul(factor)?;
        sum = sum.checked_add(part)?;
        rest = behind[length..].trim_ascii_start();
    }
    Some(sum)
}

/// A count: a non-negative integer, possibly written as `12.0` as data frames do.
pub(crate) fn count(text: &[u8]) -> Option<u64> {
    let value = span_nanos(text, Unit::Nanos)?;
    let text = trim(text);
    let whole = match memchr::memchr(b'.', text) {
        Some(dot) => text[dot + 1..].iter().all(|byte| *byte == b'0'),
        None => true,
    };
    whole.then_some(value)
}

/// Length of the tick of a bare number: the place of its last digit in `unit`.
pub(crate) fn tick_of_number(text: &[u8], unit: Unit) -> u64 {
    let text = trim(text);
    let decimals = memchr::memchr(b'.', text).map_or(0, |dot| text.len() - dot - 1);
    let mut tick = unit.nanos().unsigned_abs();
    for _ in 0..decimals {
        tick /= 10;
    }
    tick.max(1)
}

/// A date and time in ISO 8601 or its cousins: `T` or a blank between date and time, up to nine
/// digits of fraction (further ones are cut), an offset or `Z`, UTC when it says nothing.
pub(crate) fn iso(text: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let (body, decimals) = bounded_fraction(text);
    let tick_ns = 10_u64.pow(9 - decimals);
    if let Ok(stamp) = body.parse::<jiff::Timestamp>() {
        return Some(Stamp { nanos: i64::try_from(stamp.as_nanosecond()).ok()?, tick_ns });
    }
    let civil: DateTime = body.parse().ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(Stamp { nanos: i64::try_from(zoned.timestamp().as_nanosecond()).ok()?, tick_ns })
}

/// `text` with at most nine digits of fraction, and how many it has.
fn bounded_fraction(text: &str) -> (std::borrow::Cow<'_, str>, u32) {
    let Some(dot) = text.find('.') else { return (text.into(), 0) };
    let digits = text[dot + 1..].bytes().take_while(u8::is_ascii_digit).count();
    if digits <= 9 {
        return (text.into(), u32::try_from(digits).unwrap_or(9));
    }
    let mut cut = text[..dot + 10].to_owned();
    cut.push_str(&text[dot + 1 + digits..]);
    (cut.into(), 9)
}

/// The stamp of the common log format: `10/Oct/2000:13:55:36 -0700`. HAProxy writes milliseconds
/// and no zone (`10/Oct/2000:13:55:36.123`), which is read as UTC.
pub(crate) fn common_log(text: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let (body, decimals) = bounded_fraction(text);
    let tick_ns = 10_u64.pow(9 - decimals);
    let zoned = |format| strtime::parse(format, &*body).ok()?.to_timestamp().ok();
    let local = |format| {
        let civil = strtime::parse(format, &*body).ok()?.to_datetime().ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    let stamp = zoned("%d/%b/%Y:%H:%M:%S%.f %z").or_else(|| local("%d/%b/%Y:%H:%M:%S%.f"))?;
    Some(Stamp { nanos: i64::try_from(stamp.as_nanosecond()).ok()?, tick_ns })
}

/// A date with slashes, the year first, as JMeter and Gin write it: `2026/11/25 10:00:00.123`.
fn slashed(text: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let (date, clock) = text.split_once(' ')?;
    let clock = clock.strip_prefix("- ").unwrap_or(clock);
    iso(format!("{}T{clock}", date.replace('/', "-")).as_bytes())
}

/// A stamp in whatever form it comes: a bare number of `unit` (by magnitude when `None`), or ISO.
pub(crate) fn stamp(text: &[u8], unit: Option<Unit>) -> Option<Stamp> {
    let text = trim(text);
    // A date has a dash or a colon after its first digit, a number never does.
    let dated = text.iter().skip(1).any(|byte| matches!(byte, b':' | b'T'))
        || text.iter().filter(|byte| **byte == b'-').count() > 1;
    if dated {
        return match memchr::memchr(b'/', text) {
            Some(2) => common_log(text),
            Some(4) => slashed(text),
            _ => iso(text),
        };
    }
    let unit = unit.unwrap_or_else(|| Unit::of_magnitude(text));
    Some(Stamp { nanos: nanos(text, unit)?, tick_ns: tick_of_number(text, unit) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_split(line: &str, expected: &[&str]) {
        let mut fields = Vec::new();
        split(line.as_bytes(), b',', &mut fields);
        let found: Vec<&str> = fields.iter().map(|span| &line[span.start..span.end]).collect();
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn fields_split_as_spreadsheets_write_them() {
        check_split("a,b,c", &["a", "b", "c"]);
        check_split("a,,", &["a", "", ""]);
        check_split("\"a,b\",c", &["a,b", "c"]);
        check_split("x,\"a \"\"q\"\" b\",c", &["x", "a \"\"q\"\" b", "c"]);
        check_split("\"open", &["open"]);
        check_split("", &[""]);
    }

    #[test]
    fn decimals_become_exact_nanoseconds() {
        for (text, unit, expected) in [
            ("0.07949090003967285", Unit::Seconds, Some(79_490_900)),
            ("12", Unit::Millis, Some(12_000_000)),
            ("1e-3", Unit::Seconds, Some(1_000_000)),
            ("2.5E2", Unit::Micros, Some(250_000)),
            ("0.6", Unit::Nanos, Some(1)),
            ("-1", Unit::Seconds, Some(-1_000_000_000)),
            ("1700000000123456789", Unit::Nanos, Some(1_700_000_000_123_456_789)),
            (" 7 ", Unit::Nanos, Some(7)),
            ("", Unit::Seconds, None),
            ("-", Unit::Seconds, None),
            ("NaN", Unit::Seconds, None),
            ("1.2.3", Unit::Seconds, None),
            ("99999999999999999999", Unit::Seconds, None),
            ("0.000000000000000000000000000001", Unit::Seconds, Some(0)),
        ] {
            assert_eq!(nanos(text.as_bytes(), unit), expected, "{text}");
        }
    }

    #[test]
    fn stamps_are_read_in_every_usual_form() {
        for (text, nanos, tick_ns) in [
            ("2023-11-16 18:17:03.9799600", 1_700_158_623_979_960_000, 100),
            ("2023-11-16T18:17:03Z", 1_700_158_623_000_000_000, 1_000_000_000),
            ("2023-11-16T19:17:03.5+01:00", 1_700_158_623_500_000_000, 100_000_000),
            ("2023-11-16T18:17:03.1234567891Z", 1_700_158_623_123_456_789, 1),
            ("1700158623", 1_700_158_623_000_000_000, 1_000_000_000),
            ("1700158623123", 1_700_158_623_123_000_000, 1_000_000),
            ("1700158623123456", 1_700_158_623_123_456_000, 1_000),
            ("12.5", 12_500_000_000, 100_000_000),
        ] {
            assert_eq!(stamp(text.as_bytes(), None), Some(Stamp { nanos, tick_ns }), "{text}");
        }
        let haproxy = common_log(b"06/Feb/2009:12:14:14.655");
        let expected = Stamp { nanos: 1_233_922_454_655_000_000, tick_ns: 1_000_000 };
        assert_eq!(haproxy, Some(expected));
        let jmeter = stamp(b"2009/02/06 12:14:14.655", None);
        assert_eq!(jmeter, Some(expected));
        assert_eq!(stamp(b"2009/02/06 - 12:14:14.655", None), Some(expected));
        let apache = common_log(b"10/Oct/2000:13:55:36 -0700");
        assert_eq!(apache.map(|stamp| stamp.nanos), Some(971_211_336_000_000_000));
        assert_eq!(stamp(b"yesterday", None), None);
    }

    #[test]
    fn spans_are_read_with_the_unit_behind_them() {
        for (text, expected) in [
            ("205ms", Some(205_000_000)),
            ("0.205 s", Some(205_000_000)),
            ("1m2.5s", Some(62_500_000_000)),
            ("12\u{b5}s", Some(12_000)),
            ("0.205", Some(205_000_000)),
            ("soon", None),
            ("5 parsecs", None),
        ] {
            assert_eq!(suffixed_nanos(text.as_bytes(), Unit::Seconds), expected, "{text}");
        }
    }

    #[test]
    fn names_say_their_unit() {
        assert_eq!(Unit::of_name("start_unix_us"), Some(Unit::Micros));
        assert_eq!(Unit::of_name("Timestamp [ms]"), Some(Unit::Millis));
        assert_eq!(Unit::of_name("duration(s)"), Some(Unit::Seconds));
        assert_eq!(Unit::of_name("arrival"), None);
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!(count(b"12"), Some(12));
        assert_eq!(count(b"12.0"), Some(12));
        assert_eq!(count(b"12.5"), None);
        assert_eq!(count(b"-1"), None);
    }
}
