//! Numbers as people read them: three significant figures, a unit, no more.

use tidegate_sim::figure::{Figure, Unit};
use tidegate_sim::interval::Interval;
use tidegate_sim::result::SimResult;

/// `value` with three significant figures and no needless zeros: `0.0123`, `1.5`, `12,300`.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if size >= 1e15 {
        return format!("{value:.2e}");
    }
    // Rounding first decides the digits: 999.6 is 1,000 and not 1000.
    let digits = 2 - libm::floor(libm::log10(size)) as i32;
    if digits <= 0 {
        let unit = libm::pow(10.0, f64::from(-digits));
        return grouped((value / unit).round() * unit);
    }
    let text = format!("{value:.*}", digits.clamp(0, 9) as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A whole number with commas between thousands.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(value.abs() as u64))
}

/// A duration given in milliseconds, in the unit that suits it.
pub fn millis(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0 ms".to_owned()
    } else if size < 1.0 {
        format!("{} µs", number(value * 1e3))
    } else if size < 1e3 {
        format!("{} ms", number(value))
    } else if size < 120e3 {
        format!("{} s", number(value / 1e3))
    } else {
        seconds(value / 1e3)
    }
}

/// A long duration given in seconds: `45 s`, `12 min`, `8 h`, `3.5 d`.
pub fn seconds(value: f64) -> String {
    let size = value.abs();
    if size < 120.0 {
        format!("{} s", number(value))
    } else if size < 7_200.0 {
        format!("{} min", number(value / 60.0))
    } else if size < 172_800.0 {
        format!("{} h", number(value / 3_600.0))
    } else {
        format!("{} d", number(value / 86_400.0))
    }
}

/// A share from 0 to 1 as per cent.
pub fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// A figure in its own unit.
pub fn figure(figure: Figure, value: f64) -> String {
    match figure.unit() {
        Unit::Milliseconds => millis(value),
        Unit::Share => percent(value),
        // What is counted is told to the last one.
        Unit::Count if value.fract() == 0.0 && value >= 0.0 => count(value as u64),
        Unit::Count | Unit::Hours => number(value),
        Unit::Money => money(value),
    }
}

/// The mean of a figure in its own unit, with half of its 95 % interval: `1.75 s ±120 ms`.
pub fn figure_with_interval(figure: Figure, interval: &Interval) -> String {
    let mean = interval.mean;
    let half = as_exact_as(mean, interval.half_width());
    match figure.unit() {
        Unit::Milliseconds => format!("{} ±{}", millis(mean), millis(half)),
        // A unit that both share stands once.
        Unit::Share => format!("{} ±{}", number(mean * 100.0), percent(half)),
        Unit::Count | Unit::Hours => format!("{} ±{}", number(mean), number(half)),
        Unit::Money => format!("{} ±{}", money(mean), money(half)),
    }
}

/// `half` without digits that say nothing beside a `mean` of three.
fn as_exact_as(mean: f64, half: f64) -> f64 {
    if mean == 0.0 || !mean.is_finite() {
        return half;
    }
    let unit = libm::pow(10.0, libm::floor(libm::log10(mean.abs())) - 3.0);
    (half / unit).round() * unit
}

/// A figure of a result in its own unit, over all seeds where there are several.
pub fn figure_of(figure: Figure, result: &SimResult) -> String {
    match figure.interval(result) {
        Some(interval) => figure_with_interval(figure, interval),
        None => self::figure(figure, figure.of(result)),
    }
}

/// So many of a thing: `1 cold start`, `2 cold starts`.
pub fn counted(count_of: u64, what: &str) -> String {
    format!("{} {what}{}", count(count_of), if count_of == 1 { "" } else { "s" })
}

/// Money, in whatever currency the price was given in.
pub fn money(value: f64) -> String {
    // Cents are told where they are the third digit; what is less than one has three as well.
    if (1.0..100.0).contains(&value.abs()) { format!("{value:.2}") } else { number(value) }
}

/// A size in bytes.
pub fn bytes(value: u64) -> String {
    let value = value as f64;
    if value < 1e6 {
        format!("{} kB", number(value / 1e3))
    } else {
        format!("{} MB", number(value / 1e6))
    }
}

/// How `other` differs from `base`, in words: `31 % fewer`, `as many`.
pub fn more_or_fewer(base: f64, other: f64) -> String {
    relative(base, other, "more", "fewer", "as many")
}

/// How `other` differs from `base` in something that is not counted: `31 % less`, `as much`.
pub fn more_or_less(base: f64, other: f64) -> String {
    relative(base, other, "more", "less", "as much").replace("times as many", "times as much")
}

/// A change of a duration in milliseconds with its sign: `+12 ms`.
pub fn change_millis(base: f64, other: f64) -> String {
    let change = other - base;
    if change.abs() < 0.0005 {
        return "±0 ms".to_owned();
    }
    format!("{}{}", if change > 0.0 { "+" } else { "−" }, millis(change.abs()))
}

fn relative(base: f64, other: f64, more: &str, fewer: &str, same: &str) -> String {
    if base == other {
        return same.to_owned();
    }
    if base == 0.0 {
        return format!("{} {more}", number(other));
    }
    let change = other / base - 1.0;
    if change.abs() < 0.0005 {
        return same.to_owned();
    }
    if change >= 1.0 {
        return format!("{} times as many", number(other / base));
    }
    format!("{} {}", percent(change.abs()), if change > 0.0 { more } else { fewer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_figures() {
        for (value, expected) in [
            (0.0, "0"),
            (0.012345, "0.0123"),
            (1.5, "1.5"),
            (12.345, "12.3"),
            (999.6, "1,000"),
            (123_456.0, "123,000"),
            (-2_345.0, "-2,350"),
            (f64::NAN, "–"),
            (1e18, "1.00e18"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
    }

    #[test]
    fn durations_choose_their_unit() {
        assert_eq!(millis(0.25), "250 µs");
        assert_eq!(millis(12.34), "12.3 ms");
        assert_eq!(millis(1_234.0), "1.23 s");
        assert_eq!(seconds(28_800.0), "8 h");
        assert_eq!(seconds(300.0), "5 min");
        assert_eq!(bytes(12_300_000), "12.3 MB");
    }

    #[test]
    fn figures_have_their_own_unit() {
        assert_eq!(figure(Figure::P99, 1_750.0), "1.75 s");
        assert_eq!(figure(Figure::Cold, 0.0183), "1.83 %");
        assert_eq!(figure(Figure::Instances, 12.0), "12");
        let of =
            |low, high| Interval { mean: (low + high) / 2.0, low, high, least: low, most: high };
        assert_eq!(figure_with_interval(Figure::P99, &of(1_630.0, 1_870.0)), "1.75 s ±120 ms");
        assert_eq!(figure_with_interval(Figure::Cold, &of(0.01, 0.02)), "1.5 ±0.5 %");
        assert_eq!(figure_with_interval(Figure::InstanceHours, &of(15.999, 16.001)), "16 ±0");
        let shown = [0.0, 0.004_68, 0.468, 7.2, 1_234.5].map(money);
        assert_eq!(shown, ["0", "0.00468", "0.468", "7.20", "1,230"]);
        assert_eq!(counted(1, "cold start"), "1 cold start");
        assert_eq!(counted(1_200, "cold start"), "1,200 cold starts");
    }

    #[test]
    fn differences_are_told_in_words() {
        assert_eq!(more_or_fewer(100.0, 69.0), "31 % fewer");
        assert_eq!(more_or_fewer(100.0, 110.0), "10 % more");
        assert_eq!(more_or_fewer(100.0, 300.0), "3 times as many");
        assert_eq!(more_or_fewer(5.0, 5.0), "as many");
        assert_eq!(change_millis(100.0, 112.0), "+12 ms");
        assert_eq!(change_millis(100.0, 99.5), "−500 µs");
    }
}
