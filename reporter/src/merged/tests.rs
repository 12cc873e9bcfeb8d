use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::inbox::{Endpoint, pair};

/// Three shards, and what they send as one.
struct World {
    shards: Vec<Channels>,
    merger: Merger,
    merged: Inbox,
}

impl World {
    fn new() -> Self {
        let (shards, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| pair()).unzip();
        let (merger, merged) = Merger::new(inboxes, Arc::default());
        Self { shards, merger, merged }
    }

    /// A shard names all instances of a revision.
    fn list(&mut self, shard: usize, of: &RevisionName, instances: &[&str]) {
        let whole = Self::named(shard, of, instances);
        self.tell(shard, whole);
    }

    /// A shard that has just started names some of them.
    fn list_some(&mut self, shard: usize, of: &RevisionName, instances: &[&str]) {
        let whole = Self::named(shard, of, instances);
        self.tell(shard, wire::Endpoints { partial: true, ..whole });
    }

    fn named(shard: usize, of: &RevisionName, instances: &[&str]) -> wire::Endpoints {
        let endpoint = |name: &&str| wire::Endpoint {
            instance: (*name).to_owned(),
            address: format!("10.0.0.{shard}:1"),
            limit: 1,
        };
        let endpoints = instances.iter().map(endpoint).collect();
        let revision = Some(of.clone().into());
        wire::Endpoints { revision, endpoints, ..Default::default() }
    }

    fn tell(&mut self, shard: usize, list: wire::Endpoints) {
        self.shards[shard].endpoints(list, Instant::now());
        self.merger.publish();
    }

    fn known(&self, of: &RevisionName) -> Option<Vec<String>> {
        let told = |it: &Endpoint| format!("{}@{}", it.instance, it.address);
        self.merged.endpoints.borrow().get(of).map(|list| list.iter().map(told).collect())
    }
}

/// A revision that belongs to shard `at` of three, from 0 on.
fn revision_of(at: usize) -> RevisionName {
    let names = (0..).map(|number| RevisionName {
        namespace: "default".to_owned(),
        name: format!("web{number}"),
    });
    names.into_iter().find(|name| owner(name, 3) == at).expect("each has some")
}

#[test]
fn what_each_shard_names_of_its_own_is_known() {
    let mut world = World::new();
    let own: Vec<_> = (0..3).map(revision_of).collect();
    for (shard, of) in own.iter().enumerate() {
        world.list(shard, of, &["a"]);
    }
    for (shard, of) in own.iter().enumerate() {
        assert_eq!(world.known(of), Some(vec![format!("a@10.0.0.{shard}:1")]));
    }
    world.list(1, &own[1], &[]);
    assert_eq!(world.known(&own[1]), Some(Vec::new()), "at zero, and known");
    world.shards[1].forget(&own[1]);
    world.merger.publish();
    assert_eq!(world.known(&own[1]), None);
    assert!(world.known(&own[0]).is_some() && world.known(&own[2]).is_some());
}

#[test]
fn no_shard_removes_what_another_owns() {
    let mut world = World::new();
    let of = revision_of(2);
    world.list(2, &of, &["a", "b"]);
    // Whatever it believes, this is not its own.
    world.list(0, &of, &[]);
    assert_eq!(world.known(&of), Some(vec!["a@10.0.0.2:1".into(), "b@10.0.0.2:1".into()]));
    world.shards[0].forget(&of);
    world.shards[0].link(Link::Down);
    world.merger.publish();
    assert_eq!(world.known(&of).map(|list| list.len()), Some(2));
}

/// Shard 3 is new: its instances report to it one after the other.
#[test]
fn instances_that_move_are_known_all_the_while() {
    let mut world = World::new();
    let of = revision_of(2);
    let directive = |of| wire::Directive { shard: 1, shards: of, ..Default::default() };
    world.shards[0].directive(directive(2));
    world.list(0, &of, &["a", "b"]);
    world.list_some(2, &of, &["b"]);
    assert_eq!(world.known(&of), Some(vec!["b@10.0.0.2:1".into(), "a@10.0.0.0:1".into()]));
    world.list(0, &of, &["a"]);
    assert_eq!(world.known(&of).map(|list| list.len()), Some(2), "the new shard has b");
    // It is the first of two still, started again: nothing is forgotten.
    world.shards[0].directive(directive(2));
    world.merger.publish();
    assert_eq!(world.known(&of).map(|list| list.len()), Some(2));
    world.list(2, &of, &["b", "a"]);
    // It is the first of three now, and will never say that `a` is gone.
    world.shards[0].directive(directive(3));
    world.list(2, &of, &["b"]);
    assert_eq!(world.known(&of), Some(vec!["b@10.0.0.2:1".into()]));
}

#[test]
fn the_rules_of_a_revision_are_its_owners() {
    let mut world = World::new();
    let (of, other) = (revision_of(1), revision_of(0));
    let hold = |of: &RevisionName, max_waiting| {
        let revision = Some(of.clone().into());
        wire::HoldBounds { revision, max_waiting, longest_wait_ms: 0 }
    };
    let port = |of: &RevisionName, port| {
        let revision = Some(of.clone().into());
        wire::ListenPorts { revision, ports: vec![port], ..Default::default() }
    };
    world.shards[2].holds(hold(&of, 7));
    world.shards[2].ports(port(&of, 8_001));
    world.merger.publish();
    assert_eq!(world.merged.holds.borrow()[&of].max_waiting, Some(7), "nobody else says more");
    assert_eq!(world.merged.ports.borrow()[&8_001].revision, of);
    // Its owner names it, and says nothing of its queue.
    world.list(1, &of, &[]);
    assert!(world.merged.holds.borrow().is_empty() && world.merged.ports.borrow().is_empty());
    world.shards[1].holds(hold(&of, 3));
    world.shards[1].ports(port(&of, 8_002));
    world.list(0, &other, &[]);
    world.shards[0].ports(port(&other, 8_001));
    world.merger.publish();
    assert_eq!(world.merged.holds.borrow()[&of].max_waiting, Some(3));
    let ports: Vec<_> =
        world.merged.ports.borrow().iter().map(|(port, of)| (*port, of.revision.clone())).collect();
    assert_eq!(ports, [(8_001, other), (8_002, of)]);
}

#[test]
fn routes_are_one_table_led_by_all() {
    let mut world = World::new();
    let message = |table: &str, led: &[&str]| wire::Routes {
        table: table.to_owned(),
        led: led
            .iter()
            .map(|route| wire::RouteShares { route: (*route).to_owned(), shares: Vec::new() })
            .collect(),
    };
    world.shards[2].routes(message("t", &["web"]));
    world.merger.publish();
    world.shards[1].routes(message("t", &["api"]));
    world.merger.publish();
    let told = world.merged.routes.borrow().clone().expect("some were sent");
    assert_eq!(*told, message("t", &["api", "web"]));
    // The first that has one decides while they read different files.
    world.shards[1].routes(message("newer", &["api"]));
    world.merger.publish();
    let told = world.merged.routes.borrow().clone().expect("some were sent");
    assert_eq!(*told, message("newer", &["api", "web"]));
}

#[test]
fn directives_are_what_all_can_do_with() {
    let mut world = World::new();
    let directive = |report_interval_ms, history_seconds| wire::Directive {
        report_interval_ms,
        history_seconds,
        ..Default::default()
    };
    world.shards[1].directive(directive(1_000, 60));
    world.shards[2].directive(directive(500, 30));
    world.shards[2].link(Link::Up);
    world.merger.publish();
    let told = *world.merged.directives.borrow();
    assert_eq!((told.report_interval_ms, told.history_seconds), (Some(500), Some(60)));
    assert_eq!(*world.merged.link.borrow(), Link::Up);
}

#[tokio::test(start_paused = true)]
async fn news_are_merged_at_once_and_floods_are_not_merged_one_by_one() {
    let World { shards, merger, mut merged } = World::new();
    let news = Arc::clone(&merger.news);
    tokio::spawn(merger.run());
    let began = Instant::now();
    let of = revision_of(0);
    for count in 0..1_000 {
        let endpoints = vec![wire::Endpoint::default(); count];
        let revision = Some(of.clone().into());
        shards[0].endpoints(wire::Endpoints { revision, endpoints, ..Default::default() }, began);
        news.notify_one();
        tokio::task::yield_now().await;
    }
    merged.endpoints.changed().await.expect("it goes on");
    assert_eq!(began.elapsed(), Duration::ZERO, "the first was merged at once");
    merged.endpoints.wait_for(|lists| lists[&of].len() == 999).await.expect("it goes on");
    assert_eq!(began.elapsed(), MERGE_PERIOD, "and all others together");
}
