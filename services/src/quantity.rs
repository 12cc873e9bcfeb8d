//! Quantities as Kubernetes writes them.

/// What stands behind a number of bytes, and what it is multiplied with.
const UNITS: [(&str, u64); 9] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("", 1),
];

/// Bytes of memory: at least one.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit))?;
    let bytes = number(text.strip_suffix(unit.0)?)? * unit.1 as f64;
    // Beyond 2^53 a number of bytes is a typing error.
    (1.0..=9e15).contains(&bytes).then_some(bytes as u64)
}

/// Thousandths of a processor: at least one.
pub(crate) fn cpu_millis(text: &str) -> Option<u32> {
    let millis = match text.strip_suffix('m') {
        Some(millis) => number(millis)?,
        None => number(text)? * 1_000.0,
    };
    (1.0..=1e9).contains(&millis).then_some(millis as u32)
}

/// Digits, perhaps with a fraction.
fn number(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (is_digits(whole) && is_digits(fraction)).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, read) in [
            ("512Mi", Some(512 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("1G", Some(1_000_000_000)),
            ("4096", Some(4_096)),
            ("64k", Some(64_000)),
            ("0", None),
            ("-1", None),
            ("1GB", None),
            ("1e3", None),
            (".5Gi", None),
            ("Gi", None),
            ("", None),
            ("99999999999999Ti", None),
        ] {
            assert_eq!(bytes(text), read, "{text}");
        }
        for (text, read) in [
            ("0.5", Some(500)),
            ("500m", Some(500)),
            ("2", Some(2_000)),
            ("0", None),
            ("0.0001", None),
            ("1.5.2", None),
            ("m", None),
        ] {
            assert_eq!(cpu_millis(text), read, "{text}");
        }
    }
}
