//! Several controllers in one view.
//!
//! Sites stand in a file: some are dialled, others call. Each is asked for its revisions again and
//! again; what it last told is kept, as old, while it cannot be reached. Whoever asks a view gets
//! what a controller would answer, with the name of the site.
//!
//! It must never: wait for one site because of another; believe a site beyond its own revisions;
//! hold more of all of them than [`board::REVISIONS_MAX`], whatever they tell; order anything.
//!
//! Modules in reading order: [`file`](mod@file) is which sites there are, [`known`] what is known
//! of a revision and how what a site says becomes that, [`board`] what is known of all sites, with
//! `shares` of its room, [`follow`] keeps it up to date, [`office`] answers questions about it,
//! [`metrics`] counts.

pub mod board;
pub mod file;
pub mod follow;
pub mod known;
pub mod metrics;
pub mod office;
mod shares;

pub use board::{Board, Link, SiteState, Snapshot};
pub use file::{Reach, Site, SitesError};
pub use follow::Sites;
pub use known::Known;
pub use metrics::Metrics;
pub use office::Office;
pub use tidegate_call::{SiteName, SiteNameError};
