//! Rollouts that lead shares, with time as an argument.

use super::*;

const FILE: &str = r#"
    [route.web]
    split = { v1 = 90, v2 = 0, v3 = 10 }
    [route.web.rollout]
    from = "v1"
    to = "v2"
    steps = [{ percent = 10, hold = "30s" }, { percent = 50, hold = "30s" }]
    min_requests = 10

    [route.other]
    path = "/other"
    split = { v1 = 50, v2 = 50 }

    [route.health]
    exact = "/health"
    answer = { body = "ok" }
"#;

const START: Timestamp = Timestamp::from_secs(1_000);

/// A book, and how the requests of v1 and v2 end.
struct World {
    book: RouteBook,
    outcomes: [Outcomes; 2],
    second: u64,
}

impl World {
    fn new() -> Self {
        Self::of(FILE, &[])
    }

    fn of(text: &str, records: &[RolloutRecord]) -> Self {
        let mut book = RouteBook::default();
        book.follow(START, read(text), records);
        Self { book, outcomes: Default::default(), second: 0 }
    }

    fn now(&self) -> Timestamp {
        START.plus_millis(self.second * 1_000)
    }

    /// So many seconds with 90 requests of v1 and 10 of v2, of which so many fail.
    fn run(&mut self, seconds: u64, failing: u64) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            self.outcomes[0].count(90, 0);
            self.outcomes[1].count(10, failing);
            let outcomes = &self.outcomes;
            let now = START.plus_millis(self.second * 1_000);
            let changes = self.book.observe(now, |id| match id.name() {
                "v1" => Some(outcomes[0].clone()),
                "v2" => Some(outcomes[1].clone()),
                _ => None,
            });
            said.extend(changes.into_iter().map(|change| change.what));
        }
        said
    }

    fn order(&mut self, order: RouteOrder) -> Result<Option<RouteChange>, OrderError> {
        let now = self.now();
        self.book.order(now, "web", order)
    }

    /// Thousandths of v1, v2 and v3 as activators are told them.
    fn told(&self) -> Option<[u32; 3]> {
        let news = self.book.news().expect("there is a table");
        let (_, shares) = news.led.iter().find(|(route, _)| route == "web")?;
        let of = |name: &str| {
            let share = shares.iter().find(|(revision, _)| revision.name == name);
            share.map_or(0, |(_, share)| share.millionths() / 1_000)
        };
        Some(["v1", "v2", "v3"].map(of))
    }

    fn phase(&self) -> Option<Phase> {
        let statuses = self.book.statuses();
        let web = statuses.iter().find(|status| status.route.name == "web").expect("it is there");
        web.rollout.as_ref().and_then(|rollout| rollout.phase)
    }
}

fn read(text: &str) -> (Arc<str>, Table) {
    (text.into(), Table::parse(text).expect("it can be followed"))
}

#[test]
fn a_good_revision_is_promoted_step_by_step_and_others_keep_their_share() {
    let mut world = World::new();
    assert_eq!(world.told(), None, "until both are known the file's shares hold");
    world.run(1, 0);
    assert_eq!(world.told(), Some([810, 90, 100]), "a tenth of what both have");
    world.run(31, 0);
    assert_eq!(world.told(), Some([450, 450, 100]));
    let said = world.run(31, 0);
    assert!(said.iter().any(|what| what.starts_with("The new revision goes from 50 % to 100 %")));
    assert_eq!((world.told(), world.phase()), (Some([0, 900, 100]), Some(Phase::Promoted)));
    assert_eq!(world.book.next_due(), None, "there is nothing left to be compared");
}

#[test]
fn a_bad_revision_is_returned_and_stays_returned_until_a_person_begins_anew() {
    let mut world = World::new();
    world.run(1, 0);
    let mut seconds = 0;
    while world.phase() == Some(Phase::Progressing) {
        world.run(1, 1);
        seconds += 1;
    }
    assert!(seconds <= 10, "one of ten fails: it took {seconds} s");
    assert_eq!((world.told(), world.phase()), (Some([900, 0, 100]), Some(Phase::Returned)));
    world.run(100, 0);
    world.book.follow(world.now(), read(FILE), &[]);
    world.run(100, 0);
    assert_eq!(world.told(), Some([900, 0, 100]), "the same file says nothing new");
    assert_eq!(world.order(RouteOrder::Resume), Err(OrderError::Ended("web".into())));
    world.order(RouteOrder::Restart).expect("it can be").expect("it changes");
    assert_eq!(world.told(), Some([810, 90, 100]));
}

#[test]
fn orders_take_effect_at_once() {
    let mut world = World::new();
    assert!(matches!(world.order(RouteOrder::Abort), Err(OrderError::NotBegun { .. })));
    world.run(1, 0);
    world.order(RouteOrder::Pause).expect("it is on its way").expect("it changes");
    assert_eq!(world.order(RouteOrder::Pause), Ok(None), "it is paused already");
    world.run(100, 0);
    assert_eq!(world.told(), Some([810, 90, 100]));
    world.order(RouteOrder::Resume).expect("it is paused").expect("it changes");
    world.order(RouteOrder::Promote).expect("it is on its way").expect("it changes");
    assert_eq!(world.told(), Some([0, 900, 100]));
    world.order(RouteOrder::Abort).expect("also after a promotion").expect("it changes");
    assert_eq!((world.told(), world.phase()), (Some([900, 0, 100]), Some(Phase::Aborted)));
    let unknown = world.book.order(START, "wep", RouteOrder::Abort).map_err(|e| e.to_string());
    assert!(unknown.is_err_and(|told| told.contains("health, other, web")));
    let none = world.book.order(START, "other", RouteOrder::Abort);
    assert_eq!(none, Err(OrderError::NoRollout("other".into())));
}

#[test]
fn shares_are_set_where_no_rollout_leads_them() {
    let mut world = World::new();
    let share = |name: &str, permille| {
        let revision = Revision { namespace: "default".into(), name: name.into() };
        (revision, Share::from_permille(permille))
    };
    world.run(1, 0);
    let half = || vec![share("v1", 500), share("v2", 500)];
    assert_eq!(world.book.set_shares("web", half()), Err(OrderError::Led("web".into())));
    world.book.set_shares("other", vec![share("v1", 999), share("v2", 1)]).expect("it is whole");
    let lacking = world.book.set_shares("other", vec![share("v1", 999)]);
    assert!(matches!(lacking, Err(OrderError::Shares(ShareError::NotTheWhole(_)))));
    let none = world.book.set_shares("health", half());
    assert!(matches!(none, Err(OrderError::Shares(ShareError::UnknownRoute(_)))));
    world.order(RouteOrder::Abort).expect("it is on its way");
    world.book.set_shares("web", half()).expect("it has ended");
    assert_eq!(world.told(), Some([500, 500, 0]));
    let again = world.order(RouteOrder::Abort).expect("the newer word").expect("it changes");
    assert_eq!(again.what, "The rollout leads the shares again.");
    assert_eq!(world.told(), Some([900, 0, 100]));
}

#[test]
fn a_restarted_controller_goes_on_where_it_was() {
    let mut world = World::new();
    world.run(40, 0);
    let records = world.book.records();
    let mut anew = World::of(FILE, &records);
    assert_eq!(anew.told(), Some([450, 450, 100]));
    anew.run(1, 0);
    assert_eq!(anew.told(), Some([450, 450, 100]));
    world.order(RouteOrder::Abort).expect("it is on its way");
    let anew = World::of(FILE, &world.book.records());
    assert_eq!((anew.told(), anew.phase()), (Some([900, 0, 100]), Some(Phase::Aborted)));
    // Another pair is another rollout.
    let other = FILE.replace("to = \"v2\"", "to = \"v3\"");
    assert_eq!(World::of(&other, &world.book.records()).phase(), None);
}

/// Both of two shards have the file, and each leads the routes of its own revisions.
#[test]
fn a_shard_leads_the_routes_of_its_own_revisions() {
    const TWO: &str = r#"
        [route.a]
        path = "/a"
        split = { web-00001 = 100, web-00002 = 0 }
        [route.a.rollout]
        from = "web-00001"
        to = "web-00002"
        steps = [{ percent = 10, hold = "30s" }]
        [route.b]
        path = "/b"
        split = { web-00001 = 50, web-00002 = 50 }
        [route.health]
        exact = "/health"
        answer = { body = "ok" }
    "#;
    let shards = [1, 2].map(|number| Shard::new(number, 2).expect("there is one"));
    let owner = shards[0].owner("default", "web-00001");
    let table = read(TWO).1;
    assert_eq!(divided_rollouts(&table, owner), [], "revisions of one service are of one shard");
    for shard in shards {
        let mut book = RouteBook::of(shard);
        book.follow(START, read(TWO), &[]);
        let known = |_: &RevisionId| Some(Outcomes::default());
        let began = book.observe(START, known);
        assert_eq!(began.len(), usize::from(shard == owner), "{shard}");
        let leads = Some(owner).filter(|owner| *owner != shard);
        let all = book.statuses();
        let led_by: Vec<_> = all.iter().map(|it| (it.route.name.as_str(), it.led_by)).collect();
        assert_eq!(led_by, [("a", leads), ("b", leads), ("health", None)]);
        assert_eq!(all[0].rollout.is_some(), shard == owner);
        let all_to_one = || {
            let revision = Revision { namespace: "default".into(), name: "web-00001".into() };
            vec![(revision, Share::from_millionths(1_000_000).expect("all"))]
        };
        let elsewhere =
            |route: &str| OrderError::OtherShard { route: route.to_owned(), leader: owner };
        let set = book.set_shares("b", all_to_one());
        let paused = book.order(START, "a", RouteOrder::Pause);
        match shard == owner {
            true => assert!(set.is_ok() && paused.is_ok(), "{set:?} {paused:?}"),
            false => {
                assert_eq!(set, Err(elsewhere("b")));
                assert_eq!(paused, Err(elsewhere("a")));
            }
        }
        let led: Vec<String> =
            book.news().expect("a table").led.into_iter().map(|(route, _)| route).collect();
        assert_eq!(led.contains(&"b".to_owned()), shard == owner, "{led:?}");
    }
}

#[test]
fn a_rollout_that_no_shard_can_lead_is_told() {
    let of = Shard::new(1, 64).expect("there is one");
    let divided = divided_rollouts(&read(FILE).1, of);
    let told: Vec<String> = divided.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the rollout of \"web\" goes from default/v1 of shard"), "{told:?}");
    assert_eq!(divided_rollouts(&read(FILE).1, Shard::ONLY), []);
}
