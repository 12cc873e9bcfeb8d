//! Shares of the traffic, in thousandths.

use std::fmt;

/// A share of the traffic in steps of a thousandth, 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u16);

/// Why a number is no weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a weight of {given} thousandths cannot be used: expected 0 to {most}",
    most = Weight::WHOLE_PERMILLE
)]
pub struct WeightError {
    given: i64,
}

impl Weight {
    /// Thousandths in the whole.
    pub const WHOLE_PERMILLE: u16 = 1_000;

    /// None of the traffic.
    pub const ZERO: Weight = Weight(0);

    /// All of the traffic.
    pub const WHOLE: Weight = Weight(Self::WHOLE_PERMILLE);

    /// So many thousandths.
    ///
    /// # Errors
    ///
    /// When it is less than nothing or more than the whole.
    pub fn from_permille(given: i64) -> Result<Self, WeightError> {
        let weight = u16::try_from(given).ok().filter(|given| *given <= Self::WHOLE_PERMILLE);
        weight.map(Self).ok_or(WeightError { given })
    }

    /// In thousandths.
    #[must_use]
    pub const fn permille(self) -> u16 {
        self.0
    }

    /// What is missing to the whole.
    #[must_use]
    pub const fn rest(self) -> Self {
        // No weight is more than the whole.
        Self(Self::WHOLE_PERMILLE - self.0)
    }

    /// `part` of `whole` of the traffic, rounded down to a thousandth; the whole when `part` is no
    /// less.
    #[must_use]
    pub(crate) fn of_parts(part: u64, whole: u64) -> Self {
        if part >= whole {
            return Self::WHOLE;
        }
        let permille = u128::from(part) * u128::from(Self::WHOLE_PERMILLE) / u128::from(whole);
        Self(u16::try_from(permille).unwrap_or(Self::WHOLE_PERMILLE))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (percent, 0) => write!(f, "{percent} %"),
            (percent, tenths) => write!(f, "{percent}.{tenths} %"),
        }
    }
}

/// How the traffic is divided. Its two shares are always the whole: only one of them is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Split(Weight);

impl Split {
    /// So much to the new revision, and the rest to the stable one.
    #[must_use]
    pub const fn with_new(new_revision: Weight) -> Self {
        Self(new_revision)
    }

    /// The stable revision's share.
    #[must_use]
    pub const fn stable_revision(self) -> Weight {
        self.0.rest()
    }

    /// The new revision's share.
    #[must_use]
    pub const fn new_revision(self) -> Weight {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shares_are_the_whole() {
        for permille in 0..=1_000 {
            let split = Split::with_new(Weight::from_permille(permille).expect("it is in range"));
            let (stable, new) = (split.stable_revision(), split.new_revision());
            assert_eq!(stable.permille() + new.permille(), Weight::WHOLE_PERMILLE);
        }
        for odd in [-1, 1_001, i64::MIN, i64::MAX] {
            let told = Weight::from_permille(odd).map_err(|error| error.to_string());
            assert!(told.is_err_and(|told| told.contains("expected 0 to 1000")), "{odd}");
        }
    }

    #[test]
    fn a_weight_is_shown_in_percent() {
        for (permille, shown) in [(0, "0 %"), (5, "0.5 %"), (125, "12.5 %"), (1_000, "100 %")] {
            assert_eq!(Weight::from_permille(permille).map(|w| w.to_string()), Ok(shown.into()));
        }
    }

    #[test]
    fn parts_are_rounded_down_and_never_more_than_the_whole() {
        for (part, whole, permille) in
            [(0, 7, 0), (1, 3, 333), (6, 7, 857), (7, 7, 1_000), (9, 7, 1_000), (0, 0, 1_000)]
        {
            assert_eq!(Weight::of_parts(part, whole).permille(), permille, "{part} of {whole}");
        }
        assert_eq!(Weight::of_parts(u64::MAX - 1, u64::MAX).permille(), 999);
    }
}
