//! Kubernetes' quantities: `2`, `500m`, `1.5k`, `1Ki`, `2e3`.

/// A quantity in thousandths, rounded up as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Milli(pub i64);

/// Longest text that is read: Kubernetes itself writes at most twenty digits and a suffix.
const TEXT_BYTES_MAX: usize = 64;

/// Reads a quantity as a number; `None` for what is none.
#[must_use]
pub fn number(text: &str) -> Option<f64> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    let (number, suffix) = text.split_at(end.unwrap_or(text.len()));
    Some(number.parse::<f64>().ok()? * factor(suffix)?)
}

impl Milli {
    /// Reads a quantity; `None` for what is none. One that is too large is the largest there is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let milli = number(text)? * 1_000.0;
        // A whole number of thousandths that is not exact in binary is not the next one.
        let nearest = milli.round();
        let is_whole = (milli - nearest).abs() < 1e-6;
        let whole = if is_whole { nearest } else { milli.ceil() };
        // Beyond 64 bits the cast gives the nearest number there is.
        Some(Self(whole as i64))
    }

    /// The number itself.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0 as f64 / 1_000.0
    }
}

/// What a suffix multiplies by.
fn factor(suffix: &str) -> Option<f64> {
    const DECIMAL: [(&str, i32); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    const BINARY: [(&str, i32); 6] =
        [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some(10_f64.powi(*exponent));
    }
    if let Some((_, exponent)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some(2_f64.powi(*exponent));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    Some(10_f64.powi(exponent.clamp(-30, 30)))
}

impl std::fmt::Display for Milli {
    /// As a plain number: `1.5`, not `1500m`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, milli) in [
            ("2", 2_000),
            ("500m", 500),
            ("1.5", 1_500),
            ("1.5k", 1_500_000),
            ("1Ki", 1_024_000),
            ("2e3", 2_000_000),
            ("2E", i64::MAX),
            ("100u", 1),
            ("0.1", 100),
            ("0.07", 70),
            ("-1", -1_000),
            ("0", 0),
            ("-9223372036854775808m", i64::MIN),
        ] {
            assert_eq!(Milli::parse(text), Some(Milli(milli)), "{text}");
        }
        for text in ["", "m", "1x", "1 m", "--1", "1e", "NaN", "inf", &"1".repeat(65)] {
            assert_eq!(Milli::parse(text), None, "{text}");
        }
    }
}
