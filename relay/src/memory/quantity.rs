//! Numbers of bytes as Kubernetes writes them: `67108864`, `64Mi`, `1.5Gi`, `500M`.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, read from a Kubernetes quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub usize);

/// A text that is not a number of bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use '{0}', expected bytes as Kubernetes writes them, such as 67108864, 64Mi or 1G")]
pub struct BadQuantity(String);

const SUFFIXES: [(&str, f64); 9] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("", 1.0),
];

impl FromStr for ByteCount {
    type Err = BadQuantity;

    fn from_str(text: &str) -> Result<ByteCount, BadQuantity> {
        let bad = || BadQuantity(text.chars().take(40).collect());
        let (number, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
            .ok_or_else(bad)?;
        let plain = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        if number.is_empty() || !number.bytes().all(plain) {
            return Err(bad());
        }
        let bytes = number.parse::<f64>().map_err(|_| bad())? * factor;
        // The cast saturates, and nothing below one byte is a size.
        if bytes < 1.0 || bytes > usize::MAX as f64 / 2.0 {
            return Err(bad());
        }
        Ok(ByteCount(bytes as usize))
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEBIBYTE: usize = 1 << 20;
        match self.0 % MEBIBYTE {
            0 => write!(formatter, "{}Mi", self.0 / MEBIBYTE),
            _ => self.0.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("67108864", 67_108_864),
            ("64Mi", 67_108_864),
            ("1.5Gi", 1_610_612_736),
            ("500M", 500_000_000),
            ("1k", 1000),
            ("2Ki", 2048),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "Mi", "-1", "64 Mi", "64MB", "1e3", "NaN", "inf", "0", "0.1", "9999999T"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_round_number_is_shown_with_its_suffix() {
        assert_eq!(ByteCount(64 << 20).to_string(), "64Mi");
        assert_eq!(ByteCount(1000).to_string(), "1000");
    }
}
