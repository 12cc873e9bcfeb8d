//! Shares that can be trusted: a million requests, visitors that stay, and rollouts that are led
//! through a table.

use http::HeaderMap;
use http::header::{COOKIE, HeaderValue};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tidegate_rollout::{Outcomes, Phase, Rollout, Weight};
use tidegate_routes::visitor::VISITOR_COOKIE;
use tidegate_routes::{Forward, Outcome, Request, Revision, RouteKind, Share, Table};

const REQUESTS: u64 = 1_000_000;

fn table(route: &str) -> Table {
    Table::parse(&format!("[route.web]\n{route}")).expect("it can be followed")
}

fn forward<'a>(table: &'a Table, headers: &HeaderMap, draw: u64) -> Forward<'a> {
    let request = Request { host: Some("a.example"), target: b"/", headers, draw };
    match table.find(&request) {
        Outcome::Forward(forward) => forward,
        other => panic!("it is forwarded, and not {other:?}"),
    }
}

fn name(table: &Table, headers: &HeaderMap, draw: u64) -> String {
    table.revision(forward(table, headers, draw).revision).name.clone()
}

fn visitor(number: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let cookie = HeaderValue::try_from(format!("{VISITOR_COOKIE}={number}")).expect("a value");
    headers.insert(COOKIE, cookie);
    headers
}

/// Whether a count of a million differs from a share by no more than three standard errors.
fn is_within_three_errors(count: u64, share: f64) -> bool {
    let expected = REQUESTS as f64 * share;
    let error = (expected * (1.0 - share)).sqrt();
    (count as f64 - expected).abs() <= 3.0 * error
}

#[test]
fn a_million_requests_are_divided_as_the_file_says() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(12);
    let headers = HeaderMap::new();
    for (first, share) in [("70", 0.7), ("0.1", 0.001), ("99.9", 0.999), ("50.0", 0.5)] {
        let rest = format!("{:.1}", 100.0 - share * 100.0);
        let table = table(&format!("split = {{ v1 = {first}, v2 = {rest} }}"));
        let draws = (0..REQUESTS).map(|_| random.next_u64());
        let count = draws.filter(|draw| name(&table, &headers, *draw) == "v1").count() as u64;
        println!("{first} % of {REQUESTS}: {count}");
        assert!(is_within_three_errors(count, share), "{count} of {REQUESTS} at {first} %");
    }
}

#[test]
fn a_million_visitors_are_divided_to_the_last_one() {
    let table = table("sticky = \"visitor\"\nsplit = { v1 = 70, v2 = 29.9, v3 = 0.1 }");
    let mut counts = std::collections::BTreeMap::new();
    for number in 0..REQUESTS {
        *counts.entry(name(&table, &visitor(number), 0)).or_insert(0) += 1;
    }
    let expected = [("v1", 700_000), ("v2", 299_000), ("v3", 1_000)];
    assert!(counts.iter().map(|(name, count)| (name.as_str(), *count)).eq(expected), "{counts:?}");
}

#[test]
fn names_in_a_header_are_divided_as_well() {
    let table = table("sticky = { header = \"x-user\" }\nsplit = { v1 = 70, v2 = 30 }");
    let mut count = 0;
    for user in 0..REQUESTS {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::try_from(format!("user-{user}")).expect("a value"));
        count += u64::from(name(&table, &headers, user) == "v1");
    }
    assert!(is_within_three_errors(count, 0.7), "{count}");
    // Who shows nothing is drawn, request by request.
    let empty = HeaderMap::new();
    assert_eq!(name(&table, &empty, 0), "v1");
    assert_eq!(name(&table, &empty, u64::MAX), "v2");
}

#[test]
fn a_new_visitor_keeps_what_it_was_given() {
    let table = table("sticky = \"visitor\"\nsplit = { v1 = 50, v2 = 50 }");
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    for _ in 0..1_000 {
        let first = forward(&table, &HeaderMap::new(), random.next_u64());
        let number = first.visitor.expect("it had none").to_string();
        let again = visitor(number.parse().expect("digits"));
        let second = forward(&table, &again, random.next_u64());
        assert_eq!((second.revision, second.visitor), (first.revision, None));
    }
}

/// Every visitor through a whole rollout from v1 to v2, beside a v3 that has nothing to do with it.
#[test]
fn a_visitor_moves_at_most_once_in_a_rollout_and_only_to_the_new_revision() {
    let mut table = table(
        r#"
        sticky = "visitor"
        split = { v1 = 60, v15 = 10, v3 = 29.9, v2 = 0.1 }
        rollout = { from = "v1", to = "v2", over = "10m" }
        "#,
    );
    let visitors: Vec<HeaderMap> = (0..REQUESTS).step_by(997).map(visitor).collect();
    let mut at: Vec<String> = Vec::new();
    let mut moves = vec![0; visitors.len()];
    for permille in 0..=1_000 {
        table = led(&table, permille);
        let now: Vec<String> = visitors.iter().map(|headers| name(&table, headers, 0)).collect();
        for (number, (before, now)) in at.iter().zip(&now).enumerate() {
            if before != now {
                assert_eq!((before.as_str(), now.as_str()), ("v1", "v2"));
                moves[number] += 1;
            }
        }
        at = now;
    }
    assert!(moves.iter().all(|moves| *moves <= 1));
    assert!(at.iter().all(|name| name != "v1"), "the rollout is over");
    // Back at once, and everybody is where they were.
    let back = led(&table, 0);
    assert!(visitors.iter().all(|headers| name(&back, headers, 0) != "v2"));
}

/// The table when a rollout has come so far.
fn led(table: &Table, permille: i64) -> Table {
    let weight = Weight::from_permille(permille).expect("it is one");
    let (route, _) = table.rollouts().next().expect("there is one");
    let RouteKind::Forward(choice) = &route.kind else { panic!("it is forwarded") };
    let shares = choice.led(weight).expect("it has a rollout");
    let named = |(number, share): (usize, Share)| (table.revision(number).clone(), share);
    let shares: Vec<(Revision, Share)> = shares.into_iter().map(named).collect();
    table.with_shares("web", &shares).expect("they are the whole")
}

/// A rollout through the table, with so many requests a second, of which so many of a thousand
/// fail.
fn rolled_out(seed: u64, requests_per_second: u32, failures_permille: [u64; 2]) -> (Phase, i64) {
    let mut table = table(
        r#"
        rollout = { from = "v1", to = "v2", steps = [{ percent = 10, hold = "60s" }] }
        "#,
    );
    let (_, plan) = table.rollouts().next().expect("there is one");
    let (mut rollout, began) = Rollout::begin(plan.settings.clone(), 0);
    table = led(&table, began.to.new_revision().permille().into());
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut outcomes = [Outcomes::default(), Outcomes::default()];
    let headers = HeaderMap::new();
    for second in 0..600 {
        for _ in 0..requests_per_second {
            let side = usize::from(name(&table, &headers, random.next_u64()) == "v2");
            let failed = random.next_u64() % 1_000 < failures_permille[side];
            outcomes[side].count(1, u64::from(failed));
        }
        let [stable, new] = &outcomes;
        if let Some(change) = rollout.observe(second * 1_000, stable, new) {
            table = led(&table, change.to.new_revision().permille().into());
        }
        if rollout.phase() != Phase::Progressing {
            let everything = if rollout.phase() == Phase::Promoted { "v2" } else { "v1" };
            for _ in 0..100 {
                assert_eq!(name(&table, &headers, random.next_u64()), everything);
            }
            return (rollout.phase(), second);
        }
    }
    (rollout.phase(), 600)
}

#[test]
fn of_a_thousand_good_revisions_at_most_two_are_returned_and_a_bad_one_always_is() {
    let returned =
        (0..1_000).filter(|seed| rolled_out(*seed, 40, [5, 5]).0 == Phase::Returned).count();
    println!("{returned} of 1000 good revisions were returned");
    assert!(returned <= 2, "{returned}");
    let mut seconds: Vec<i64> = (0..250)
        .map(|seed| match rolled_out(seed, 100, [1, 50]) {
            (Phase::Returned, second) => second,
            other => panic!("seed {seed} ended as {other:?}"),
        })
        .collect();
    seconds.sort_unstable();
    println!(
        "5 % failures at a tenth of 100 requests a second: returned after {} s in the median, {} s \
         at most",
        seconds[seconds.len() / 2],
        seconds[seconds.len() - 1]
    );
    assert!(seconds[seconds.len() / 2] <= 15, "{seconds:?}");
}
