//! What several shards send, as if one controller had sent it.
//!
//! Every revision belongs to one shard, whose word holds. Another may name it as well, while the
//! number of shards changes and its instances move from one to the other: until the owner names the
//! revision the other's word holds, and the instances that only the other knows are kept beside the
//! owner's. So no shard removes what another one has said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::stats::v1 as wire;
use tokio::sync::{Notify, watch};

use crate::inbox::{
    self, Channels, Directives, EndpointMap, Inbox, Link, ListenPorts, RevisionName, RoutesMessage,
    StartMap,
};

/// Shortest time between two merges. What comes after a pause is merged at once; a controller that
/// names ten thousand revisions one after the other does not have them merged ten thousand times.
const MERGE_PERIOD: Duration = Duration::from_millis(5);

/// Keeps one inbox by several.
#[derive(Debug)]
pub(crate) struct Merger {
    shards: Vec<Inbox>,
    into: Channels,
    news: Arc<Notify>,
}

impl Merger {
    /// Merges what comes into these, of which each change rings `news`.
    pub(crate) fn new(shards: Vec<Inbox>, news: Arc<Notify>) -> (Self, Inbox) {
        let (into, inbox) = inbox::pair();
        (Self { shards, into, news }, inbox)
    }

    /// Merges until it is dropped. Cancel safe.
    pub(crate) async fn run(mut self) {
        loop {
            self.news.notified().await;
            self.publish();
            tokio::time::sleep(MERGE_PERIOD).await;
        }
    }

    /// Tells what has changed since the last time.
    fn publish(&mut self) {
        set(&self.into.link, self.merge(|shard| &shard.link, link));
        set(&self.into.directives, self.merge(|shard| &shard.directives, directives));
        // How instances came up is told before they are; so it is read after them.
        let is_listed = self.take_news(|shard| &mut shard.endpoints);
        let lists = is_listed.then(|| self.merge(|shard| &shard.endpoints, endpoints));
        if self.take_news(|shard| &mut shard.starts) {
            set(&self.into.starts, self.merge(|shard| &shard.starts, starts));
        }
        if let Some(lists) = lists {
            set(&self.into.endpoints, lists);
        }
        if self.take_news(|shard| &mut shard.holds) || is_listed {
            set(&self.into.holds, self.by_revision(|shard| &shard.holds));
        }
        if self.take_news(|shard| &mut shard.queues) || is_listed {
            set(&self.into.queues, self.by_revision(|shard| &shard.queues));
        }
        if self.take_news(|shard| &mut shard.ports) || is_listed {
            let named = self.named();
            set(&self.into.ports, self.merge(|shard| &shard.ports, |all| ports(all, &named)));
        }
        if self.take_news(|shard| &mut shard.routes) {
            set(&self.into.routes, self.merge(|shard| &shard.routes, routes));
        }
    }

    /// Whether one of these values is new; they are not any more.
    fn take_news<T>(&mut self, of: impl Fn(&mut Inbox) -> &mut watch::Receiver<T>) -> bool {
        let mut is_new = false;
        for value in self.shards.iter_mut().map(of) {
            // One whose driver has ended has its last value for good.
            if value.has_changed().unwrap_or(false) {
                value.mark_unchanged();
                is_new = true;
            }
        }
        is_new
    }

    fn merge<T, R>(
        &self,
        of: impl Fn(&Inbox) -> &watch::Receiver<T>,
        merge: impl FnOnce(&[&T]) -> R,
    ) -> R {
        let values: Vec<_> = self.shards.iter().map(|shard| of(shard).borrow()).collect();
        merge(&values.iter().map(Deref::deref).collect::<Vec<_>>())
    }

    /// The revisions that each shard names.
    fn named(&self) -> Vec<BTreeSet<RevisionName>> {
        let named = |shard: &Inbox| shard.endpoints.borrow().keys().cloned().collect();
        self.shards.iter().map(named).collect()
    }

    fn by_revision<V: Clone>(
        &self,
        of: impl Fn(&Inbox) -> &watch::Receiver<BTreeMap<RevisionName, V>>,
    ) -> BTreeMap<RevisionName, V> {
        // Most revisions have no rules of their own.
        if self.shards.iter().all(|shard| of(shard).borrow().is_empty()) {
            return BTreeMap::new();
        }
        let named = self.named();
        self.merge(of, |all| rules(all, &named))
    }
}

fn set<T: PartialEq>(sender: &watch::Sender<T>, now: T) {
    sender.send_if_modified(|value| {
        let is_new = *value != now;
        *value = now;
        is_new
    });
}

fn owner(of: &RevisionName, shards: usize) -> usize {
    tidegate_shards::place(&of.namespace, &of.name, shards)
}

fn link(links: &[&Link]) -> Link {
    if links.iter().any(|link| **link == Link::Up) { Link::Up } else { Link::Down }
}

/// What all of them can do with: as often as any asks for, and as much of the past as any does.
fn directives(all: &[&Directives]) -> Directives {
    let each = || all.iter().map(|directives| **directives);
    Directives {
        report_interval_ms: each().filter_map(|of| of.report_interval_ms).min(),
        history_seconds: each().filter_map(|of| of.history_seconds).max(),
        limit: each().find_map(|of| of.limit),
        drain: each().any(|of| of.drain),
    }
}

/// The instances of all, the owner's first; of two with one name, the owner's.
fn endpoints(all: &[&EndpointMap]) -> EndpointMap {
    let mut merged = EndpointMap::new();
    let mut of_others = Vec::new();
    for (at, lists) in all.iter().enumerate() {
        for (revision, list) in *lists {
            match owner(revision, all.len()) == at {
                true => drop(merged.insert(revision.clone(), list.clone())),
                false => of_others.push((revision, list)),
            }
        }
    }
    for (revision, list) in of_others {
        let merged = merged.entry(revision.clone()).or_default();
        let named: BTreeSet<String> = merged.iter().map(|it| it.instance.clone()).collect();
        merged.extend(list.iter().filter(|it| !named.contains(&it.instance)).cloned());
    }
    merged
}

fn starts(all: &[&StartMap]) -> StartMap {
    let mut merged = StartMap::new();
    for (at, map) in all.iter().enumerate() {
        for (revision, starts) in *map {
            if owner(revision, all.len()) == at || !merged.contains_key(revision) {
                merged.insert(revision.clone(), starts.clone());
            }
        }
    }
    merged
}

/// The owner's rules for a revision that it names, even if those are none.
fn rules<V: Clone>(
    all: &[&BTreeMap<RevisionName, V>],
    named: &[BTreeSet<RevisionName>],
) -> BTreeMap<RevisionName, V> {
    let mut merged = BTreeMap::new();
    for (at, map) in all.iter().enumerate() {
        for (revision, rules) in *map {
            let owner = owner(revision, all.len());
            if owner == at {
                merged.insert(revision.clone(), rules.clone());
            } else if !named[owner].contains(revision) {
                merged.entry(revision.clone()).or_insert_with(|| rules.clone());
            }
        }
    }
    merged
}

/// The ports of owners first; then those of revisions that their owners do not name.
fn ports(all: &[&ListenPorts], named: &[BTreeSet<RevisionName>]) -> ListenPorts {
    let mut merged = ListenPorts::new();
    let mut of_others = Vec::new();
    for (at, map) in all.iter().enumerate() {
        for (port, of) in *map {
            let owner = owner(&of.revision, all.len());
            if owner == at {
                merged.entry(*port).or_insert_with(|| of.clone());
            } else if !named[owner].contains(&of.revision) {
                of_others.push((port, of));
            }
        }
    }
    for (port, of) in of_others {
        merged.entry(*port).or_insert_with(|| of.clone());
    }
    merged
}

/// The table of the first shard that has one, with the shares to which each shard has led the
/// routes that it leads.
fn routes(all: &[&RoutesMessage]) -> RoutesMessage {
    let mut told = all.iter().filter_map(|message| message.as_ref());
    let first = told.next()?;
    let mut rest = told.peekable();
    if rest.peek().is_none() {
        return Some(Arc::clone(first));
    }
    let mut led = first.led.clone();
    let mut known: BTreeSet<String> = led.iter().map(|of| of.route.clone()).collect();
    for message in rest {
        led.extend(message.led.iter().filter(|of| known.insert(of.route.clone())).cloned());
    }
    Some(Arc::new(wire::Routes { table: first.table.clone(), led }))
}

#[cfg(test)]
mod tests;
