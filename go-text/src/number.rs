//! Truth values and integers, as Go's `strconv` reads them.
//!
//! Rust's own parsers differ in small ways that users would trip over: Go takes `T` for true, and
//! in literals base prefixes and underscores between digits.

use std::fmt;

/// Why a text is not a number of the wanted kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// The text is not of the wanted form at all.
    Invalid,
    /// The form is right, but the value does not fit the type.
    OutOfRange,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not a number",
            Self::OutOfRange => "a number beyond the range of its type",
        })
    }
}

impl std::error::Error for NumberError {}

/// Reads a truth value, as `strconv.ParseBool`: `1 t T true TRUE True` and
/// `0 f F false FALSE False`.
///
/// # Errors
///
/// [`NumberError::Invalid`] for anything else.
pub fn parse_bool(text: &str) -> Result<bool, NumberError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(NumberError::Invalid),
    }
}

/// Reads a decimal 32-bit integer with an optional sign, as `strconv.ParseInt(text, 10, 32)`.
///
/// # Errors
///
/// [`NumberError`].
pub fn parse_int32(text: &str) -> Result<i32, NumberError> {
    let wide = parse_int64(text)?;
    i32::try_from(wide).map_err(|_| NumberError::OutOfRange)
}

/// Reads a decimal 64-bit integer with an optional sign, as `strconv.ParseInt(text, 10, 64)`.
///
/// # Errors
///
/// [`NumberError`].
pub fn parse_int64(text: &str) -> Result<i64, NumberError> {
    let (sign, digits) = sign_and_digits(text);
    sign.apply(parse_digits(digits, 10, Underscores::Refused)?)
}

/// Reads a 64-bit integer as Go's source code writes it, as `strconv.ParseInt(text, 0, 64)`: an
/// optional sign, a base prefix (`0x`, `0o`, `0b`, or a leading zero for octal), and underscores
/// between digits.
///
/// # Errors
///
/// [`NumberError`].
pub fn parse_literal(text: &str) -> Result<i64, NumberError> {
    let (sign, digits) = sign_and_digits(text);
    let lower = digits.to_ascii_lowercase();
    let (radix, body, underscores) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest, Underscores::AfterPrefix)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest, Underscores::AfterPrefix)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest, Underscores::AfterPrefix)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, &lower[1..], Underscores::AfterPrefix)
    } else {
        (10, lower.as_str(), Underscores::BetweenDigits)
    };
    sign.apply(parse_digits(body, radix, underscores)?)
}

/// Where an integer may have underscores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Underscores {
    Refused,
    BetweenDigits,
    /// The prefix counts as a digit on the left.
    AfterPrefix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

impl Sign {
    fn apply(self, magnitude: u64) -> Result<i64, NumberError> {
        let signed = match self {
            Self::Positive => i128::from(magnitude),
            Self::Negative => -i128::from(magnitude),
        };
        i64::try_from(signed).map_err(|_| NumberError::OutOfRange)
    }
}

fn sign_and_digits(text: &str) -> (Sign, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (Sign::Negative, &text[1..]),
        Some(b'+') => (Sign::Positive, &text[1..]),
        _ => (Sign::Positive, text),
    }
}

fn parse_digits(body: &str, radix: u32, underscores: Underscores) -> Result<u64, NumberError> {
    let mut magnitude: u64 = 0;
    let mut underscore_allowed = underscores == Underscores::AfterPrefix;
    let mut ended_in_digit = false;
    for character in body.chars() {
        if character == '_' {
            if !underscore_allowed {
                return Err(NumberError::Invalid);
            }
            underscore_allowed = false;
            ended_in_digit = false;
            continue;
        }
        let digit = character.to_digit(radix).ok_or(NumberError::Invalid)?;
        // As in Go, the range is checked before the digits that follow.
        let more = magnitude.checked_mul(radix.into()).and_then(|m| m.checked_add(digit.into()));
        magnitude = more.ok_or(NumberError::OutOfRange)?;
        underscore_allowed = underscores != Underscores::Refused;
        ended_in_digit = true;
    }
    if ended_in_digit { Ok(magnitude) } else { Err(NumberError::Invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_values_are_those_of_go() {
        for text in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(parse_bool(text), Ok(true), "{text}");
        }
        for text in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(parse_bool(text), Ok(false), "{text}");
        }
        for text in ["", "yes", "tRUE", " true", "on", "2"] {
            assert_eq!(parse_bool(text), Err(NumberError::Invalid), "{text}");
        }
    }

    #[test]
    fn integers_take_one_sign_and_nothing_else() {
        assert_eq!(parse_int32("+7"), Ok(7));
        assert_eq!(parse_int32("-0"), Ok(0));
        assert_eq!(parse_int32("007"), Ok(7));
        assert_eq!(parse_int32("-2147483648"), Ok(i32::MIN));
        for text in ["", "+", "-", "1.5", "1_000", "0x10", " 1", "1 ", "--1", "1e3", "١"] {
            assert_eq!(parse_int32(text), Err(NumberError::Invalid), "{text}");
        }
        for text in ["2147483648", "-2147483649", "99999999999999999999"] {
            assert_eq!(parse_int32(text), Err(NumberError::OutOfRange), "{text}");
        }
    }

    #[test]
    fn literals_have_bases_and_underscores() {
        for (text, expected) in [
            ("16", Some(16)),
            ("0x10", Some(16)),
            ("0X1f", Some(31)),
            ("010", Some(8)),
            ("0o17", Some(15)),
            ("0b101", Some(5)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("1_000", Some(1000)),
            ("0x_10", Some(16)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("99999999999999999999999999999999999999999999", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("08", None),
            ("abc", None),
            (" 1", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_literal(text).ok(), expected, "{text:?}");
        }
    }
}
