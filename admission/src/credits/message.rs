//! What an instance and its front doors tell each other.

use crate::time::Moment;

/// What becomes of a credit when its request is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenure {
    /// It is its holder's again.
    Kept,
    /// It is used up: its place is the instance's to grant.
    Once,
}

/// Credits that were granted together, with numbers that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// The number of the first.
    pub first: u64,
    /// How many they are.
    pub count: u32,
    /// What becomes of each when its request is done.
    pub tenure: Tenure,
}

/// What an instance tells one front door.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    /// Rises by one with each.
    pub sequence: u64,
    /// New credits.
    pub granted: Vec<Granted>,
    /// Kept credits that others need: each is to be returned, or yielded if it is spent.
    pub recalled: Vec<u64>,
    /// Credits that a request showed and that were not good: they are gone.
    pub voided: Vec<u64>,
    /// Whether there are other front doors: then it matters whose request has waited longest.
    pub shared: bool,
}

/// A credit that was recalled while its request was on its way or inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yielded {
    /// Its number.
    pub number: u64,
    /// How many requests it was spent on. Tells the instance whether the last of them is still to
    /// arrive.
    pub uses: u32,
}

/// What a front door tells an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The newest [`Orders`] that were obeyed.
    pub answered: u64,
    /// The newest credit that has arrived; those after it are not in the other numbers.
    pub seen: u64,
    /// Requests that wait for any instance.
    pub waiting: u32,
    /// When the one arrived that has waited longest.
    pub oldest: Moment,
    /// When the one arrived that came last.
    pub newest: Moment,
    /// Credits that it will not spend (again).
    pub returned: Vec<u64>,
    /// Credits that were spent and are for no other request.
    pub yielded: Vec<Yielded>,
}
