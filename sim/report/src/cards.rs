//! The line of large figures above a page, of all revisions together or of one.

use tidegate_sim::price::Prices;
use tidegate_sim::result::{RevisionResult, SimResult};

use crate::figures;
use crate::labels;

/// A figure: its name, its value, and what is said below it.
pub(crate) type Card = (&'static str, String, String);

/// What cards are made of, whether of a run or of one of its revisions.
struct Figured {
    requests: u64,
    lost: u64,
    cold_starts: u64,
    p50_ms: f64,
    p99_ms: f64,
    mean: f64,
    most: u64,
    instance_seconds: f64,
    idle_share: f64,
    cost: Option<f64>,
    prices: Prices,
}

/// The cards of everything together.
pub(crate) fn of_run(result: &SimResult, prices: Prices) -> Vec<Card> {
    let mut cards = cards(&Figured {
        requests: result.requests,
        lost: result.rejected + result.timed_out + result.failed,
        cold_starts: result.cold_starts,
        p50_ms: result.latency_ms.p50,
        p99_ms: result.latency_ms.p99,
        mean: result.instances.mean,
        most: result.instances.max,
        instance_seconds: result.instance_seconds,
        idle_share: result.idle_share,
        cost: result.cost,
        prices,
    });
    cards.extend(labels::used(result));
    cards
}

/// The same cards of one revision, in the same order; memory, nodes and GPUs are those of all
/// together.
pub(crate) fn of_revision(one: &RevisionResult, all: &SimResult, prices: Prices) -> Vec<Card> {
    // What memory, nodes and GPUs cost is not known of one revision, so no cost of it can be told.
    let shared = [prices.gb_hour, prices.node_hour, prices.gpu_hour];
    let priced = all.usage.node_hours.is_none()
        && shared.iter().all(|price| *price == 0.0)
        && all.cost.is_some();
    let cost = prices.instance_hour * one.instance_seconds / 3_600.0
        + prices.million_requests * one.requests as f64 / 1e6;
    let mut cards = cards(&Figured {
        requests: one.requests,
        lost: one.rejected + one.timed_out + one.failed,
        cold_starts: one.cold_starts,
        p50_ms: one.latency_ms.p50,
        p99_ms: one.latency_ms.p99,
        mean: one.instances.mean,
        most: one.instances.max,
        instance_seconds: one.instance_seconds,
        idle_share: one.idle_share,
        cost: priced.then_some(cost),
        prices,
    });
    let names = of_run(all, prices);
    for (name, value, note) in names.into_iter().skip(cards.len()) {
        let value = if name == "cost" { "–".to_owned() } else { value };
        cards.push((name, value, note));
    }
    cards
}

fn cards(of: &Figured) -> Vec<Card> {
    let share = |part: u64| figures::percent(part as f64 / of.requests.max(1) as f64);
    let mut cards = vec![
        ("requests", figures::count(of.requests), String::new()),
        ("lost", figures::count(of.lost), share(of.lost)),
        ("cold starts", figures::count(of.cold_starts), share(of.cold_starts)),
        ("p50", figures::millis(of.p50_ms), "latency".to_owned()),
        ("p99", figures::millis(of.p99_ms), "latency".to_owned()),
        (
            "instances",
            figures::number(of.mean),
            format!("mean, {} at most", figures::count(of.most)),
        ),
        (
            "instance-hours",
            figures::number(of.instance_seconds / 3_600.0),
            format!("{} idle", figures::percent(of.idle_share)),
        ),
    ];
    if let Some(cost) = of.cost {
        cards.push(("cost", figures::money(cost), of.prices.to_string()));
    }
    cards
}
