//! What the page of one run, or of several, is made from.

use tidegate_sim::engine::RunOutput;
use tidegate_sim::price::Prices;

use crate::cold_starts::ColdStart;

/// What a page shows.
pub struct Page<'a> {
    /// What was simulated, in a few words.
    pub title: String,
    /// The command that makes the same page again.
    pub command: String,
    /// Prices, when cost is asked for.
    pub prices: Prices,
    /// When time zero was, seconds since 1970, for traffic that knows the calendar: times are then
    /// shown in the reader's own time zone.
    pub origin_unix_s: Option<f64>,
    /// Cold starts of the recording that was replayed, if one was.
    pub cold_starts: Vec<ColdStart>,
    /// One run, or several to compare on the same axes; the first is what others are compared to.
    pub views: Vec<View<'a>>,
}

/// One run of a page.
pub struct View<'a> {
    /// Its name: the policy, or what sets it apart from the others.
    pub name: String,
    /// What came out of it.
    pub run: &'a RunOutput,
}
