//! A range of ports, as an option has it.

/// The ports of activators that may be assigned, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// Below Linux' range for outgoing connections, and above the well-known ports.
impl Default for PortRange {
    fn default() -> Self {
        Self { first: 20_000, last: 29_999 }
    }
}

impl PortRange {
    /// Whether a port is in it.
    #[must_use]
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        usize::from(self.last.saturating_sub(self.first)) + usize::from(self.first <= self.last)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl std::str::FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected FIRST-LAST, such as 20000-29999, from 1024 to 65535".to_owned();
        let (first, last) = text.split_once('-').ok_or_else(expected)?;
        let port = |text: &str| text.trim().parse::<u16>().map_err(|_| expected());
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first < 1_024 || range.is_empty() { Err(expected()) } else { Ok(range) }
    }
}
