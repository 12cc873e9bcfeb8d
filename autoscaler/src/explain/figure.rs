//! Numbers as people read them: rounded, but never to something that is not so.

use std::fmt;

use crate::time::MS_PER_SECOND;

/// Decimals that are always looked at.
const DECIMALS: i32 = 2;

/// The most decimals tried before a number is written as it is: those a window's mean has.
const DECIMALS_MAX: i32 = 6;

/// A number of instances.
pub(super) struct Instances(pub(super) i64);

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} instance{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// `is` of one, `are` of any other number.
pub(super) fn are(count: impl Into<i64>) -> &'static str {
    if count.into() == 1 { "is" } else { "are" }
}

/// Milliseconds, as seconds.
pub(super) struct Seconds(pub(super) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", Figure(self.0 as f64 / MS_PER_SECOND as f64))
    }
}

/// A number with at most two decimals; one that would round to 0 without being it has more.
pub(super) struct Figure(pub(super) f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says_something = |decimals: &i32| round(self.0, *decimals) != 0.0;
        let decimals = (DECIMALS..=DECIMALS_MAX).find(says_something);
        match decimals {
            Some(decimals) => write!(f, "{}", round(self.0, decimals)),
            // Adding nothing turns a negative zero, which windows leave behind, into a plain one.
            None => write!(f, "{}", self.0 + 0.0),
        }
    }
}

/// A quotient of two numbers that was rounded up to `whole`: the two with as few decimals as let
/// a reader who divides them come to the same.
pub(super) fn dividing_to(whole: f64, dividend: f64, divisor: f64) -> (f64, f64) {
    let rounded = |decimals| (round(dividend, decimals), round(divisor, decimals));
    (DECIMALS..=DECIMALS_MAX)
        .map(rounded)
        .find(|(dividend, divisor)| (dividend / divisor).ceil() == whole)
        .unwrap_or((dividend + 0.0, divisor))
}

/// A factor that was multiplied by `count` and rounded up to `whole`, with as few decimals as let
/// a reader come to the same.
pub(super) fn multiplying_to(whole: f64, factor: f64, count: f64) -> f64 {
    (DECIMALS..=DECIMALS_MAX)
        .map(|decimals| round(factor, decimals))
        .find(|factor| (factor * count).ceil() == whole)
        .unwrap_or(factor + 0.0)
}

/// Rounded to so many decimals; what is too large to have any stays as it is.
fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    let scaled = value * scale;
    if scaled.is_finite() { scaled.round() / scale + 0.0 } else { value }
}
