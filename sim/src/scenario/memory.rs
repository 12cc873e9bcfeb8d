//! Memory of an instance, as people write it.

use tidegate_words::excerpt;

/// Reads a size such as `512MB` or `2GB`.
///
/// # Errors
///
/// What would be accepted.
pub fn megabytes(text: &str) -> Result<f64, String> {
    let units = [("GB", 1e3), ("MB", 1.0)];
    let read = units.iter().find_map(|(unit, factor)| {
        let number = text.trim().strip_suffix(unit)?.trim_end().parse::<f64>().ok()?;
        (number > 0.0 && number <= 1e9).then_some(number * factor)
    });
    read.ok_or_else(|| format!("expected a size such as 512MB or 2GB, found '{}'", excerpt(text)))
}
