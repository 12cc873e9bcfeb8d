//! The name of a site.

use std::fmt;
use std::str::FromStr;

/// Longest name of a site: that of a label of a host's name (RFC 1123).
pub const SITE_BYTES_MAX: usize = 63;

/// A name by which people know a site: small letters, digits, and hyphens between them. It needs no
/// quoting in an address, a table or a page, and is never taken for a namespace or a revision
/// before which it stands with a colon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteName(String);

/// Why a text is no name of a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the name of a site: 1 to {SITE_BYTES_MAX} small letters, digits and hyphens, such as \
     paris-2"
)]
pub struct SiteNameError;

impl SiteName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SiteName {
    type Err = SiteNameError;

    fn from_str(text: &str) -> Result<Self, SiteNameError> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_good = (1..=SITE_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| is_plain(byte) || byte == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_good { Ok(Self(text.to_owned())) } else { Err(SiteNameError) }
    }
}

impl fmt::Display for SiteName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quoting_anywhere() {
        for good in ["a", "paris", "edge-17", "7", &"x".repeat(SITE_BYTES_MAX)] {
            assert_eq!(good.parse::<SiteName>().map(|site| site.to_string()), Ok(good.to_owned()));
        }
        let long = "x".repeat(SITE_BYTES_MAX + 1);
        for bad in ["", "-a", "a-", "A", "a/b", "a:b", "a.b", "a b", "<b>", "\u{e9}", "a\n", &long]
        {
            assert_eq!(bad.parse::<SiteName>(), Err(SiteNameError), "{bad:?}");
        }
    }
}
