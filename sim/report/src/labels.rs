//! Figures by name, and the difference of two runs in a sentence.

use tidegate_sim::result::SimResult;

use crate::cost::Prices;
use crate::figures;

/// A figure: its name and how to write it for a run.
pub(crate) type Figure = (&'static str, Box<dyn Fn(&SimResult) -> String>);

/// The rows of every table that compares runs.
pub(crate) fn figure_rows(prices: Prices) -> Vec<Figure> {
    let mut rows: Vec<Figure> = vec![
        ("requests", Box::new(|run| figures::count(run.requests))),
        ("lost", Box::new(|run| figures::count(lost(run)))),
        ("cold starts", Box::new(|run| figures::count(run.cold_starts))),
        ("latency p50", Box::new(|run| figures::millis(run.latency_ms.p50))),
        ("latency p95", Box::new(|run| figures::millis(run.latency_ms.p95))),
        ("latency p99", Box::new(|run| figures::millis(run.latency_ms.p99))),
        ("waiting p99", Box::new(|run| figures::millis(run.wait_ms.p99))),
        ("instances, mean", Box::new(|run| figures::number(run.instances.mean))),
        ("instances, most", Box::new(|run| figures::count(run.instances.max))),
        ("instance-hours", Box::new(|run| figures::number(run.instance_seconds / 3_600.0))),
        ("idle", Box::new(|run| figures::percent(run.idle_share))),
        ("scale events", Box::new(|run| figures::count(run.scale_events))),
    ];
    if prices != Prices::default() {
        let cost = move |run: &SimResult| figures::money(prices.of(run).unwrap_or(0.0));
        rows.push(("cost", Box::new(cost)));
    }
    rows
}

/// Requests that were refused, given up or lost.
pub(crate) fn lost(result: &SimResult) -> u64 {
    result.rejected + result.timed_out + result.failed
}

/// How `other` differs from `base`: `B: 31 % fewer instance-hours, p99 +12 ms, 40 more cold
/// starts`.
pub(crate) fn difference(base: (&str, &SimResult), other: (&str, &SimResult)) -> String {
    let ((base_name, base), (name, other)) = (base, other);
    let mut parts = vec![
        format!(
            "{} instance-hours",
            figures::more_or_fewer(base.instance_seconds, other.instance_seconds)
        ),
        format!("p99 {}", figures::change_millis(base.latency_ms.p99, other.latency_ms.p99)),
    ];
    let counts = [
        ("cold starts", base.cold_starts, other.cold_starts),
        ("lost requests", lost(base), lost(other)),
    ];
    for (what, before, after) in counts {
        if before != after {
            let more = if after > before { "more" } else { "fewer" };
            parts.push(format!("{} {more} {what}", figures::count(before.abs_diff(after))));
        }
    }
    format!("{name}: {} than {base_name}", parts.join(", "))
}
