//! Shares of the requests of a route, and which revision a number between nothing and the whole
//! falls to.

use std::fmt;

use tidegate_rollout::Weight;

/// A share of the requests, in millionths: a thousandth of a share of a thousandth can be led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Share(u32);

/// Why shares cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// It is no share.
    #[error(
        "a share of {0} millionths cannot be used: expected 0 to {whole}",
        whole = Share::WHOLE.0
    )]
    OutOfRange(u64),
    /// Together they are not the whole.
    #[error("the shares add up to {0}, expected 100 %")]
    NotTheWhole(Share),
    /// One is of a revision that the route does not have.
    #[error("the route has no share for the revision {0}")]
    UnknownRevision(String),
    /// There is no route of that name, or none that has shares.
    #[error("there is no route \"{0}\" with shares")]
    UnknownRoute(String),
}

impl Share {
    /// None of the requests.
    pub const NONE: Share = Share(0);

    /// All of the requests.
    pub const WHOLE: Share = Share(1_000_000);

    /// Millionths in a thousandth.
    const PER_MILLE: u32 = 1_000;

    /// So many thousandths, at most the whole.
    #[must_use]
    pub const fn from_permille(permille: u16) -> Self {
        let millionths = permille as u32 * Self::PER_MILLE;
        if millionths > Self::WHOLE.0 { Self::WHOLE } else { Self(millionths) }
    }

    /// A percentage from 0 to 100 in steps of a tenth, as people write it.
    #[must_use]
    pub fn from_percent(percent: f64) -> Option<Self> {
        /// What a decimal number may differ from what it means.
        const ROUNDING: f64 = 1e-6;
        let tenths = percent * 10.0;
        let is_one =
            (0.0..=1_000.0).contains(&tenths) && (tenths - tenths.round()).abs() < ROUNDING;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is from 0 to 1000"
        )]
        is_one.then(|| Self::from_permille(tenths.round() as u16))
    }

    /// In thousandths, rounded down.
    #[must_use]
    pub const fn permille(self) -> u16 {
        // No share is more than a thousand of them.
        (self.0 / Self::PER_MILLE) as u16
    }

    /// So many millionths.
    ///
    /// # Errors
    ///
    /// When they are more than the whole.
    pub fn from_millionths(given: u64) -> Result<Self, ShareError> {
        let share = u32::try_from(given).ok().filter(|given| *given <= Self::WHOLE.0);
        share.map(Self).ok_or(ShareError::OutOfRange(given))
    }

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }

    /// This share and another, at most what a number can hold.
    #[must_use]
    pub(crate) const fn plus(self, other: Share) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The part of this share that a weight is, rounded down to a millionth, and its rest.
    #[must_use]
    pub fn divide(self, weight: Weight) -> (Self, Self) {
        let part = u64::from(self.0) * u64::from(weight.permille());
        let part = part / u64::from(Weight::WHOLE_PERMILLE);
        // No part is more than the whole.
        let part = u32::try_from(part).unwrap_or(self.0);
        (Self(part), Self(self.0 - part))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PERCENT: u32 = 10_000;
        let (percent, rest) = (self.0 / PERCENT, self.0 % PERCENT);
        match rest {
            0 => write!(f, "{percent} %"),
            _ => write!(f, "{percent}.{} %", format!("{rest:04}").trim_end_matches('0')),
        }
    }
}

/// A place among the requests: what a draw or a visitor amounts to, less than [`Share::WHOLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// The place of a number that is as likely to be any as any other.
    #[must_use]
    pub fn of_draw(draw: u64) -> Self {
        let scaled = (u128::from(draw) * u128::from(Share::WHOLE.0)) >> 64;
        // It is less than the whole.
        Self(u32::try_from(scaled).unwrap_or(0))
    }

    /// The place with this number of millionths before it; numbers beyond the whole begin anew.
    #[must_use]
    pub const fn of_number(number: u32) -> Self {
        Self(number % Share::WHOLE.0)
    }

    /// Millionths before it.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Whether it lies in a share that begins with nothing.
    #[must_use]
    pub const fn is_within(self, share: Share) -> bool {
        self.0 < share.0
    }
}

/// How the requests of a route are divided among revisions, which are known by their numbers in the
/// table. The order is fixed: where two shares beside each other change, nobody else moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split(Vec<(usize, Share)>);

impl Split {
    /// Revisions in their order, with their shares.
    ///
    /// # Errors
    ///
    /// When the shares are not the whole together.
    pub fn new(shares: Vec<(usize, Share)>) -> Result<Self, ShareError> {
        let sum = shares.iter().fold(Share::NONE, |sum, (_, share)| sum.plus(*share));
        match sum == Share::WHOLE {
            true => Ok(Self(shares)),
            false => Err(ShareError::NotTheWhole(sum)),
        }
    }

    /// Everything to one revision.
    #[must_use]
    pub fn whole(revision: usize) -> Self {
        Self(vec![(revision, Share::WHOLE)])
    }

    /// The revisions in their order, with their shares.
    #[must_use]
    pub fn shares(&self) -> &[(usize, Share)] {
        &self.0
    }

    /// The revision that a place falls to.
    #[must_use]
    pub fn at(&self, place: Place) -> usize {
        let mut left = place.0;
        for (revision, share) in &self.0 {
            match left.checked_sub(share.0) {
                Some(rest) => left = rest,
                None => return *revision,
            }
        }
        // The shares are the whole, and no place lies beyond it.
        self.0.last().map_or(0, |(revision, _)| *revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permille(of: u16) -> Share {
        Share::from_permille(of)
    }

    #[test]
    fn shares_are_shown_in_percent() {
        for (millionths, shown) in [
            (0, "0 %"),
            (1_000, "0.1 %"),
            (300, "0.03 %"),
            (333_000, "33.3 %"),
            (1_000_000, "100 %"),
        ] {
            let share = Share::from_millionths(millionths).expect("it is one");
            assert_eq!(share.to_string(), shown);
        }
        assert_eq!(Share::from_millionths(1_000_001), Err(ShareError::OutOfRange(1_000_001)));
    }

    #[test]
    fn a_percentage_is_read_in_steps_of_a_tenth() {
        for (percent, permille) in [(0.0, 0), (0.1, 1), (29.9, 299), (33.3, 333), (100.0, 1_000)] {
            assert_eq!(Share::from_percent(percent), Some(Share::from_permille(permille)));
        }
        for odd in [-0.1, 0.05, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Share::from_percent(odd), None, "{odd}");
        }
    }

    #[test]
    fn every_place_falls_to_exactly_one_revision() {
        let shares = vec![(7, permille(1)), (8, permille(0)), (9, permille(999))];
        let split = Split::new(shares).expect("they are the whole");
        let falls = |number| split.at(Place::of_number(number));
        assert_eq!([falls(0), falls(999), falls(1_000), falls(999_999)], [7, 7, 9, 9]);
        let lacking = Split::new(vec![(0, permille(700)), (1, permille(299))]);
        let told = lacking.map_err(|error| error.to_string());
        assert_eq!(told, Err("the shares add up to 99.9 %, expected 100 %".to_owned()));
    }

    #[test]
    fn a_draw_reaches_every_place() {
        assert_eq!(Place::of_draw(0).number(), 0);
        assert_eq!(Place::of_draw(u64::MAX).number(), 999_999);
        assert_eq!(Place::of_draw(u64::MAX / 2).number(), 499_999);
    }

    #[test]
    fn a_share_is_divided_without_a_rest() {
        for weight in [0, 1, 333, 999, 1_000] {
            let weight = Weight::from_permille(weight).expect("it is one");
            for share in [0, 1, 333, 1_000].map(permille) {
                let (part, rest) = share.divide(weight);
                assert_eq!(part.plus(rest), share);
            }
        }
    }
}
