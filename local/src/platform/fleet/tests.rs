//! What follows from what, with files as text and what is seen as arguments.

use super::super::step::Seen;
use super::*;

/// A fleet, and what is seen of its revisions.
struct World {
    fleet: Fleet,
    seen: BTreeMap<String, Seen>,
    rollouts: BTreeMap<String, RolloutEnd>,
    now_ms: u64,
}

fn services(text: &str) -> Services {
    Services::parse(text).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

impl World {
    fn new() -> Self {
        Self {
            fleet: Fleet::default(),
            seen: BTreeMap::new(),
            rollouts: BTreeMap::new(),
            now_ms: 0,
        }
    }

    fn follow(&mut self, text: &str) -> Vec<String> {
        let steps = self.fleet.follow(&services(text), Again::Changed);
        told(&steps).into_iter().chain(self.look(0)).collect()
    }

    /// What is done after some time.
    fn look(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        for seen in self.seen.values_mut() {
            seen.is_routed = false;
        }
        for lead in self.fleet.leads().into_values() {
            let names = match lead {
                Lead::To(name) => vec![name],
                Lead::From(old, new) => vec![old, new],
                Lead::Nowhere(_) => Vec::new(),
            };
            for name in names {
                self.seen.entry(name.to_owned()).or_default().is_routed = true;
            }
        }
        let facts = Facts { now_ms: self.now_ms, revisions: &self.seen, rollouts: &self.rollouts };
        told(&self.fleet.look(&facts))
    }

    fn ready(&mut self, revision: &str, count: u32) {
        let seen = self.seen.entry(revision.to_owned()).or_default();
        (seen.ready, seen.instances) = (count, count);
    }

    fn leads(&self) -> Vec<String> {
        self.fleet.leads().values().map(|lead| format!("{lead:?}")).collect()
    }
}

/// Steps in a word each, without what is told.
fn told(steps: &[Step]) -> Vec<String> {
    let word = |step: &Step| match step {
        Step::Expect(revision) => Some(format!("expect {revision}")),
        Step::Unexpect(revision) => Some(format!("unexpect {revision}")),
        Step::Build { service, .. } => Some(format!("build {service}")),
        Step::Declare { revision, initial, .. } => Some(format!("declare {revision} {initial}")),
        Step::Route => Some("route".to_owned()),
        Step::Retire(revision) => Some(format!("retire {revision}")),
        Step::Forget(revision) => Some(format!("forget {revision}")),
        Step::Tell(_) => None,
    };
    steps.iter().filter_map(word).collect()
}

#[test]
fn who_comes_after_one_that_cannot_be_served_is_led_nowhere_until_it_can() {
    let mut world = World::new();
    let file = "[service.a]\ncommand = 'a'\nafter = ['b']\n[service.b]\ncommand = 'b'\n\
                after = ['c']\n[service.c]\ncommand = 'c'\n";
    world.follow(file);
    assert_eq!(world.leads()[0], "To(\"a-00001\")", "its requests wait");
    world.fleet.gave_up("c-00001", "it ended");
    world.look(50);
    world.look(50);
    let why = "it comes after b, which cannot be served: it comes after c, which cannot be \
               served: it ended";
    assert_eq!(world.leads()[0], format!("Nowhere({why:?})"));
    assert_eq!(world.fleet.places()["a"].failure.as_deref(), Some(why));
    world.follow(&file.replace("'c'\n", "'d'\n"));
    world.look(50);
    assert_eq!(world.leads()[0], "To(\"a-00001\")", "they wait again");
    world.ready("c-00002", 1);
    assert_eq!(world.look(50), ["declare b-00001 1", "route"]);
}

#[test]
fn a_change_makes_a_revision_that_takes_over_once_it_is_ready_and_the_old_one_ends() {
    let mut world = World::new();
    let file = "[service.web]\ncommand = 'a'\n[service.api]\ncommand = 'b'\n";
    let first = world.follow(file);
    let expected = [
        "expect api-00001",
        "expect web-00001",
        "route",
        "declare api-00001 1",
        "route",
        "declare web-00001 1",
        "route",
    ];
    assert_eq!(first, expected);
    world.ready("web-00001", 3);
    assert_eq!(world.look(1_000), [""; 0]);
    // The new one begins with as many instances as take the requests now.
    let changed = world.follow(&file.replace("'a'", "'c'"));
    assert_eq!(changed, ["expect web-00002", "route", "declare web-00002 3"]);
    assert_eq!(world.leads()[1], "To(\"web-00001\")");
    world.ready("web-00002", 2);
    assert_eq!(world.look(1_000), [""; 0]);
    world.ready("web-00002", 3);
    assert_eq!(world.look(50), ["route"]);
    assert_eq!(world.leads(), ["To(\"api-00001\")", "To(\"web-00002\")"]);
    // Nothing can come to the old one, but something waits for it.
    world.seen.get_mut("web-00001").expect("seen").waiting = 1;
    assert_eq!(world.look(10_000), [""; 0]);
    world.seen.get_mut("web-00001").expect("seen").waiting = 0;
    assert_eq!(world.look(1), [""; 0]);
    assert_eq!(world.look(UNASKED_MS), ["retire web-00001"]);
    assert_eq!(world.look(60_000), [""; 0], "it still has instances");
    world.ready("web-00001", 0);
    assert_eq!(world.look(1), ["forget web-00001"]);
    assert!(!world.fleet.is_busy());
}

#[test]
fn what_did_not_change_is_not_touched_and_a_scale_is_followed_in_place() {
    let mut world = World::new();
    let file = "[service.web]\ncommand = 'a'\n";
    world.follow(file);
    assert_eq!(world.follow(file), ["route"]);
    let rescaled = world.follow("[service.web]\ncommand = 'a'\nmax = 3\n");
    assert_eq!(rescaled, ["declare web-00001 1", "route"]);
    let gone = world.follow("[service.api]\ncommand = 'b'\n");
    assert_eq!(gone, ["expect api-00001", "route", "declare api-00001 1", "route"]);
    assert_eq!(world.look(UNASKED_MS), ["retire web-00001"]);
    // A service of the same name later is another revision.
    assert!(world.follow(file).contains(&"expect web-00002".to_owned()));
}

#[test]
fn one_that_cannot_come_up_leaves_the_old_one_where_it_is() {
    let mut world = World::new();
    world.follow("[service.web]\ncommand = 'a'\n");
    world.ready("web-00001", 1);
    let broken = "[service.web]\ncommand = 'broken'\n";
    world.follow(broken);
    let steps = world.fleet.gave_up("web-00002", "it ended");
    assert!(steps.iter().any(|step| matches!(step, Step::Tell(what)
        if what == "web stays web-00001: web-00002: it ended")));
    assert_eq!(world.leads(), ["To(\"web-00001\")"]);
    assert_eq!(world.look(0), [""; 0]);
    assert_eq!(world.look(UNASKED_MS), ["retire web-00002"]);
    // The same is not tried again by a change elsewhere, but when a person wants it.
    assert_eq!(world.follow(broken), ["route", "forget web-00002"]);
    let again = world.fleet.follow(&services(broken), Again::Failed);
    assert_eq!(told(&again), ["expect web-00003", "route"]);
}

#[test]
fn a_service_that_never_came_up_answers_why_until_its_file_is_mended() {
    let mut world = World::new();
    world.follow("[service.web]\ncommand = 'broken'\n");
    world.fleet.gave_up("web-00001", "it ended");
    assert_eq!(world.leads(), ["Nowhere(\"it ended\")"]);
    // Who waits for it would wait in vain.
    world.seen.entry("web-00001".to_owned()).or_default().waiting = 2;
    world.look(0);
    assert_eq!(world.look(UNASKED_MS), ["retire web-00001"]);
    let mended = world.follow("[service.web]\ncommand = 'a'\n");
    assert!(mended.contains(&"declare web-00002 1".to_owned()), "{mended:?}");
    assert_eq!(world.leads(), ["To(\"web-00002\")"]);
}

#[test]
fn a_service_waits_for_those_that_it_is_after() {
    let mut world = World::new();
    let file = "[service.db]\ncommand = 'db'\n[service.web]\ncommand = 'a'\nafter = ['db']\n";
    let first = world.follow(file);
    assert!(!first.iter().any(|step| step.starts_with("declare web")), "{first:?}");
    assert_eq!(world.leads()[1], "To(\"web-00001\")", "its requests wait");
    world.ready("db-00001", 1);
    assert_eq!(world.look(50), ["declare web-00001 1", "route"]);
    // One that begins with no instance is not waited for.
    let mut world = World::new();
    let first = world.follow(&file.replace("'db'\n[", "'db'\ninitial = 0\n["));
    assert!(first.contains(&"declare web-00001 1".to_owned()), "{first:?}");
}

#[test]
fn a_build_runs_before_the_first_instance_and_a_newer_one_counts() {
    let mut world = World::new();
    let file = "[service.web]\ncommand = 'a'\nbuild = 'make'\n";
    assert_eq!(world.follow(file), ["expect web-00001", "route", "build web"]);
    // A further change while it runs: requests may wait for the name, which stays.
    let newer = world.follow(&file.replace("'a'", "'b'"));
    assert_eq!(newer, ["expect web-00001", "route", "build web"]);
    assert!(world.fleet.built(1, Ok(())).is_empty());
    assert_eq!(world.look(0), [""; 0], "that was the older one");
    world.fleet.built(2, Ok(()));
    assert_eq!(world.look(0), ["declare web-00001 1", "route"]);
    world.follow(&file.replace("'a'", "'c'"));
    world.fleet.built(3, Err("`make` ended with 2".to_owned()));
    assert_eq!(world.leads(), ["To(\"web-00001\")"]);
}

#[test]
fn one_that_replaces_waits_until_the_old_one_has_ended() {
    let mut world = World::new();
    let file = "[service.db]\ncommand = 'a'\nrollout = 'replace'\n";
    world.follow(file);
    world.ready("db-00001", 1);
    let changed = world.follow(&file.replace("'a'", "'b'"));
    assert_eq!(changed, ["expect db-00002", "route", "route"]);
    assert_eq!(world.leads(), ["To(\"db-00002\")"], "requests wait for the new one");
    assert_eq!(world.look(0), [""; 0]);
    assert_eq!(world.look(UNASKED_MS), ["retire db-00001"]);
    world.ready("db-00001", 0);
    assert_eq!(world.look(1), ["forget db-00001"]);
    assert_eq!(world.look(1), ["declare db-00002 1", "route"]);
}

#[test]
fn a_rollout_in_shares_ends_with_either_of_the_two() {
    let file = "[service.web]\ncommand = 'a'\nrollout = { over = '10s' }\n";
    for (end, lead) in [
        (RolloutEnd::Promoted, "To(\"web-00002\")"),
        (RolloutEnd::Returned("it failed".to_owned()), "To(\"web-00001\")"),
    ] {
        let mut world = World::new();
        world.follow(file);
        world.ready("web-00001", 1);
        world.follow(&file.replace("'a'", "'b'"));
        world.ready("web-00002", 1);
        assert_eq!(world.look(0), ["route"]);
        assert_eq!(world.leads(), ["From(\"web-00001\", \"web-00002\")"]);
        assert_eq!(world.look(1_000), [""; 0]);
        world.rollouts.insert("web".to_owned(), end);
        assert_eq!(world.look(0), ["route"]);
        assert_eq!(world.leads(), [lead]);
    }
}

#[test]
fn a_change_back_leaves_everything_where_it_was() {
    let mut world = World::new();
    let file = "[service.web]\ncommand = 'a'\n";
    world.follow(file);
    world.ready("web-00001", 1);
    world.follow(&file.replace("'a'", "'b'"));
    assert_eq!(world.follow(file), ["route"]);
    assert_eq!(world.leads(), ["To(\"web-00001\")"]);
    world.look(0);
    assert_eq!(world.look(UNASKED_MS), ["retire web-00002"]);
}
