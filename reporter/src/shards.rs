//! The streams of a reporter of many revisions to all shards of the controller.
//!
//! Each shard has a stream, a history and an inbox of its own, so that one that is gone holds up
//! none of the others, and what it has said stays. With one shard all of this is one stream.

use std::sync::Arc;

use tidegate_proto::stats::v1::Stat;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::inbox::{EndpointMap, Inbox, RevisionName};
use crate::merged::Merger;
use crate::{Config, ConfigError, Driver, Reporter};

/// The addresses of each shard.
pub(crate) fn addresses_in(given: &str) -> Result<Vec<&str>, ConfigError> {
    tidegate_shards::addresses(given)
        .map_err(|source| ConfigError::Shards { given: given.to_owned(), source })
}

/// How a hello names the shard at a place among so many.
pub(crate) fn named(at: usize, shards: usize) -> (u32, u32) {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    match shards {
        1 => (0, 0),
        _ => (number(at + 1), number(shards)),
    }
}

/// Makes the ends of the streams to all shards, each by its configuration, in their order. Nothing
/// happens until [`ShardDrivers::run`] is polled.
///
/// # Panics
///
/// Never with what [`Config::for_each_shard`] makes, which is not empty.
#[must_use]
pub fn start_all(configs: Vec<Config>) -> (ShardReporter, ShardInbox, ShardDrivers) {
    let news = Arc::new(Notify::new());
    let (mut ends, mut each, mut drivers) = (Vec::new(), Vec::new(), Vec::new());
    for config in configs {
        let (reporter, inbox, mut driver) = crate::start(config);
        driver.rings(&news);
        ends.push(End { reporter, named: inbox.endpoints.clone() });
        each.push(inbox);
        drivers.push(driver);
    }
    let (all, merger) = match each.as_slice() {
        [only] => (only.clone(), None),
        several => {
            let (merger, merged) = Merger::new(several.to_vec(), news);
            (merged, Some(merger))
        }
    };
    (ShardReporter(ends.into()), ShardInbox { all, each }, ShardDrivers { drivers, merger })
}

/// What comes from the shards.
#[derive(Debug, Clone)]
pub struct ShardInbox {
    /// What all of them send, as if one controller had sent it.
    pub all: Inbox,
    /// What each of them sends.
    pub each: Vec<Inbox>,
}

/// Takes statistics and never makes its caller wait. Clones are the same reporter; when the last
/// one is dropped the drivers send what is left and end.
#[derive(Debug, Clone)]
pub struct ShardReporter(Arc<[End]>);

#[derive(Debug)]
struct End {
    reporter: Reporter,
    /// The revisions that the shard has named.
    named: watch::Receiver<EndpointMap>,
}

impl ShardReporter {
    /// Remembers `stat` for the shard that its revision belongs to, and for every other that names
    /// the revision: while the number of shards changes, two do.
    pub fn report(&self, stat: Stat) {
        let of: RevisionName = stat.revision.clone().unwrap_or_default().into();
        let owner = tidegate_shards::place(&of.namespace, &of.name, self.0.len());
        for (at, end) in self.0.iter().enumerate() {
            if at != owner && end.named.borrow().contains_key(&of) {
                end.reporter.report(stat.clone());
            }
        }
        self.0[owner].reporter.report(stat);
    }
}

/// Carries what a [`ShardReporter`] remembers.
#[derive(Debug)]
pub struct ShardDrivers {
    drivers: Vec<Driver>,
    merger: Option<Merger>,
}

impl ShardDrivers {
    /// Runs until the last reporter is dropped and what it left is sent, as [`Driver::run`] does
    /// for each shard. Cancel safe: dropping it closes all streams.
    pub async fn run(self) {
        let mut running = JoinSet::new();
        for driver in self.drivers {
            running.spawn(driver.run());
        }
        // It has nothing to merge any more once all of them have ended.
        let merging = self.merger.map(|merger| tokio::spawn(merger.run()));
        while running.join_next().await.is_some() {}
        if let Some(merging) = merging {
            merging.abort();
        }
    }
}
