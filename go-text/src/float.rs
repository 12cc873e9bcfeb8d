//! Floats, as Go's `strconv` reads and its `fmt` prints them.
//!
//! Rust's own parser differs in small ways that users would trip over: Go takes underscores between
//! digits and hexadecimal floats; it refuses a signed `nan` and reports a float that overflows
//! instead of rounding it to infinity.

use crate::number::NumberError;

/// Reads a 64-bit float, as `strconv.ParseFloat(text, 64)`: decimal or hexadecimal, underscores
/// between digits, `inf`, `infinity` and `nan` in any case.
///
/// # Errors
///
/// [`NumberError`]; a finite text whose value overflows is out of range.
pub fn parse_float(text: &str) -> Result<f64, NumberError> {
    if let Some(special) = parse_special(text) {
        return Ok(special);
    }
    let (sign, magnitude) = split_sign(text);
    let lower = magnitude.to_ascii_lowercase();
    if !underscores_separate_digits(&lower) {
        return Err(NumberError::Invalid);
    }
    let plain = lower.replace('_', "");
    let value = match plain.strip_prefix("0x") {
        Some(hexadecimal) => parse_hexadecimal(hexadecimal)?,
        None if is_decimal(&plain) => plain.parse().map_err(|_| NumberError::Invalid)?,
        None => return Err(NumberError::Invalid),
    };
    if value.is_infinite() { Err(NumberError::OutOfRange) } else { Ok(sign * value) }
}

fn split_sign(text: &str) -> (f64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    }
}

fn parse_special(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let (sign, magnitude) = split_sign(text);
    let infinite =
        magnitude.eq_ignore_ascii_case("inf") || magnitude.eq_ignore_ascii_case("infinity");
    infinite.then_some(sign * f64::INFINITY)
}

/// Whether every underscore is between two digits, or between the `0x` prefix and a digit.
fn underscores_separate_digits(lower: &str) -> bool {
    if !lower.contains('_') {
        return true;
    }
    let hexadecimal = lower.starts_with("0x");
    let body = if hexadecimal { &lower[2..] } else { lower };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit());
    // The prefix counts as a digit on the left.
    let mut previous_is_digit = hexadecimal;
    let mut previous_is_underscore = false;
    for byte in body.bytes() {
        if byte == b'_' {
            if !previous_is_digit {
                return false;
            }
        } else if previous_is_underscore && !is_digit(byte) {
            return false;
        }
        previous_is_underscore = byte == b'_';
        previous_is_digit = is_digit(byte);
    }
    !previous_is_underscore
}

/// `digits [. digits] [e [sign] digits]` with at least one digit in the mantissa.
fn is_decimal(plain: &str) -> bool {
    let (mantissa, exponent) = match plain.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain, None),
    };
    is_mantissa(mantissa, |byte| byte.is_ascii_digit()) && exponent.is_none_or(is_exponent)
}

fn is_mantissa(mantissa: &str, is_digit: impl Fn(u8) -> bool) -> bool {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(is_digit);
    all_digits && whole.len() + fraction.len() > 0
}

fn is_exponent(exponent: &str) -> bool {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `hex digits [. hex digits] p [sign] digits`, rounded to the nearest even double.
fn parse_hexadecimal(text: &str) -> Result<f64, NumberError> {
    let (mantissa, exponent) = text.split_once('p').ok_or(NumberError::Invalid)?;
    if !is_mantissa(mantissa, |byte| byte.is_ascii_hexdigit()) || !is_exponent(exponent) {
        return Err(NumberError::Invalid);
    }
    // Beyond this many the exponent decides the result alone; the clamp avoids overflow.
    const EXPONENT_LIMIT: i64 = 1 << 40;
    let written: i64 = exponent.parse().unwrap_or_else(|_| {
        if exponent.starts_with('-') { -EXPONENT_LIMIT } else { EXPONENT_LIMIT }
    });
    let mut power = written.clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT);
    // 64 bits are enough to round once, if the last one also represents all non-zero digits below.
    let mut bits: u64 = 0;
    let mut in_fraction = false;
    for byte in mantissa.bytes() {
        let Some(digit) = char::from(byte).to_digit(16) else {
            in_fraction = true;
            continue;
        };
        if bits >> 60 == 0 {
            bits = bits << 4 | u64::from(digit);
            power -= if in_fraction { 4 } else { 0 };
        } else {
            bits |= u64::from(digit != 0);
            power += if in_fraction { 0 } else { 4 };
        }
    }
    Ok(round_to_double(bits, power))
}

/// `bits * 2^power`, rounded to the nearest even double.
fn round_to_double(bits: u64, power: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let width = 64 - i64::from(bits.leading_zeros());
    let top = width - 1 + power;
    if top > 1023 {
        return f64::INFINITY;
    }
    // Subnormal numbers keep fewer bits, down to none at all.
    let kept = (53 - (-1022 - top).max(0)).clamp(0, 53);
    let dropped = width - kept;
    if dropped <= 0 {
        return scale(bits, power);
    }
    if dropped > 64 {
        return 0.0;
    }
    let wide = u128::from(bits);
    let tail = wide & ((1 << dropped) - 1);
    let half = 1u128 << (dropped - 1);
    let mut rounded = wide >> dropped;
    if tail > half || (tail == half && rounded & 1 == 1) {
        rounded += 1;
    }
    scale(u64::try_from(rounded).unwrap_or(u64::MAX), power + dropped)
}

/// An exact product in two steps, because a single power of two may itself be out of range.
fn scale(bits: u64, power: i64) -> f64 {
    let power = i32::try_from(power.clamp(-2200, 2200)).unwrap_or(0);
    let first = power.clamp(-1000, 1000);
    bits as f64 * 2f64.powi(first) * 2f64.powi(power - first)
}

/// A float as Go's `%v` prints it: the shortest text that reads back the same, with an exponent
/// below 1e-4 and from 1e6 on.
pub fn print_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_take_what_go_takes() {
        let cases = [
            ("1", 1.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("-1e3", -1000.0),
            ("1E-2", 0.01),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("0x1p-2", 0.25),
            ("0X1.8P1", 3.0),
            ("0x_1_2.3_4_5p+1_2", 74565.0),
            ("-0x.8p0", -0.5),
            ("1e-400", 0.0),
            ("0x1p-1074", 5e-324),
            ("0x1p-1075", 0.0),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x1.fffffffffffff7p0", 1.9999999999999998),
            ("0x10000000000000801p0", 18446744073709555712.0),
            ("0e999999", 0.0),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_float(text), Ok(expected), "{text}");
        }
        assert!(parse_float("NaN").is_ok_and(f64::is_nan));
    }

    #[test]
    fn floats_refuse_what_go_refuses() {
        let invalid = [
            "", ".", "+", "e5", "1e", "1e+", "1.2.3", "+nan", "-nan", "infin", "0x1", "0x", "0xp1",
            "_1", "1_", "1__2", "1_.5", "1._5", "1e_5", "1 ", " 1", "1f", "0x1p", "0x1pa", "++1",
            "+-1", "１",
        ];
        for text in invalid {
            assert_eq!(parse_float(text), Err(NumberError::Invalid), "{text}");
        }
        for text in ["1e309", "-1e309", "0x1p1024", "1e99999999999999999999"] {
            assert_eq!(parse_float(text), Err(NumberError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn floats_print_as_in_go() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.000_123, "0.000123"),
            (0.000_012_3, "1.23e-05"),
            (123_456.5, "123456.5"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
        ] {
            assert_eq!(print_float(value), expected);
        }
    }
}
