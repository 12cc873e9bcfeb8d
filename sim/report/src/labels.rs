//! Figures by name, and the difference of two runs in a sentence.

use tidegate_sim::figure::Figure;
use tidegate_sim::result::SimResult;

use crate::figures;

/// A figure: its name and how to write it for a run.
pub(crate) type Row = (&'static str, Box<dyn Fn(&SimResult) -> String>);

/// The rows of every table that compares runs; over several seeds, each with its interval.
pub(crate) fn figure_rows(results: &[(&str, &SimResult)]) -> Vec<Row> {
    let figure = |name: &'static str, figure: Figure| -> Row {
        (name, Box::new(move |run| figures::figure_of(figure, run)))
    };
    // One run has so many of them; several have a share, since each has requests of its own.
    let counted = |name: &'static str, share: Figure, count: fn(&SimResult) -> u64| -> Row {
        let value = move |run: &SimResult| match share.interval(run) {
            Some(interval) => figures::figure_with_interval(share, interval),
            None => figures::count(count(run)),
        };
        (name, Box::new(value))
    };
    let mut rows: Vec<Row> = vec![
        figure("requests", Figure::Requests),
        counted("lost", Figure::Lost, SimResult::lost),
        counted("cold starts", Figure::Cold, |run| run.cold_starts),
        figure("latency p50", Figure::P50),
        figure("latency p95", Figure::P95),
        figure("latency p99", Figure::P99),
        figure("waiting p99", Figure::WaitP99),
        figure("instances, mean", Figure::InstancesMean),
        figure("instances, most", Figure::Instances),
        figure("instance-hours", Figure::InstanceHours),
        figure("idle", Figure::Idle),
        figure("scale events", Figure::ScaleEvents),
    ];
    let sometimes = [
        ("GB-hours", Figure::GbHours),
        ("node-hours", Figure::NodeHours),
        ("GPU-hours", Figure::GpuHours),
        ("cost", Figure::Cost),
    ];
    for (name, of) in sometimes {
        if results.iter().any(|(_, result)| of.is_known(result)) {
            let value = move |run: &SimResult| match of.is_known(run) {
                true => figures::figure_of(of, run),
                false => "–".to_owned(),
            };
            rows.push((name, Box::new(value)));
        }
    }
    rows
}

/// How `other` differs from `base`: `B: 31 % fewer instance-hours, p99 +12 ms and 40 more cold
/// starts, compared with A`. What several seeds do not tell from nothing is within chance.
pub(crate) fn difference(base: (&str, &SimResult), other: (&str, &SimResult)) -> String {
    let ((base_name, before), (name, after)) = (base, other);
    let mean = |figure: Figure| (figure.mean(before), figure.mean(after));
    let (hours, p99) = (mean(Figure::InstanceHours), mean(Figure::P99));
    let mut parts = Vec::new();
    if Figure::Cost.is_known(before) && Figure::Cost.is_known(after) {
        let cost = mean(Figure::Cost);
        let more = figures::more_or_less(cost.0, cost.1);
        parts.push(format!("costs {more}{}", chance(Figure::Cost, after)));
    }
    parts.extend([
        format!(
            "{} instance-hours{}",
            figures::more_or_fewer(hours.0, hours.1),
            chance(Figure::InstanceHours, after)
        ),
        format!("p99 {}{}", figures::change_millis(p99.0, p99.1), chance(Figure::P99, after)),
    ]);
    let counts = [
        ("cold start", Figure::Cold, [before.cold_starts, after.cold_starts]),
        ("lost request", Figure::Lost, [before.lost(), after.lost()]),
    ];
    for (what, figure, [at_first, then]) in counts {
        let chance = chance(figure, after);
        let words = match figure.difference(after) {
            Some(_) => {
                let (before, after) = mean(figure);
                (before != after).then(|| share_change(before, after, what))
            }
            None => count_change(at_first, then, what),
        };
        parts.extend(words.map(|words| format!("{words}{chance}")));
    }
    let last = parts.pop().unwrap_or_default();
    format!("{name}: {} and {last}, compared with {base_name}", parts.join(", "))
}

/// Says of a difference over several seeds that it may be chance, where it may.
fn chance(figure: Figure, after: &SimResult) -> &'static str {
    match figure.difference(after) {
        Some(interval) if interval.covers_zero() && interval.half_width() > 0.0 => {
            " (within chance)"
        }
        _ => "",
    }
}

/// `14 fewer cold starts`; nothing where there are as many.
fn count_change(before: u64, after: u64, what: &str) -> Option<String> {
    let change = before.abs_diff(after);
    let more = if after > before { "more" } else { "fewer" };
    let plural = if change == 1 { "" } else { "s" };
    (change > 0).then(|| format!("{} {more} {what}{plural}", figures::count(change)))
}

/// `40 % fewer cold starts`; from none, how many per request there are now.
fn share_change(before: f64, after: f64, what: &str) -> String {
    if before == 0.0 {
        return format!("{} {what}s instead of none", figures::percent(after));
    }
    format!("{} {what}s", figures::more_or_fewer(before, after))
}

/// What was used beside instances, where it is known: name, value, note.
pub(crate) fn used(result: &SimResult) -> Vec<(&'static str, String, String)> {
    let usage = &result.usage;
    let mut lines = Vec::new();
    if let Some(hours) = usage.gb_hours {
        lines.push(("memory", figures::number(hours), "GB-hours, all together".to_owned()));
    }
    if let Some(hours) = usage.node_hours {
        let kinds: Vec<String> = usage
            .nodes
            .iter()
            .map(|(name, used)| {
                let lost = match used.lost {
                    0 => String::new(),
                    lost => format!(", {} lost", figures::count(lost)),
                };
                let (hours, most) = (figures::number(used.hours), figures::count(used.most));
                format!("{name} {hours} h, {most} at most{lost}")
            })
            .collect();
        lines.push(("node-hours", figures::number(hours), kinds.join("; ")));
    }
    if let Some(hours) = usage.gpu_hours {
        lines.push(("GPU-hours", figures::number(hours), String::new()));
    }
    lines
}
