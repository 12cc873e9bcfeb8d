//! The figures of a result that people ask for by name: in objectives, intervals and differences.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, OverSeeds};
use crate::result::SimResult;

/// A figure of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Requests that arrived.
    Requests,
    /// Requests rejected, timed out or failed, per request.
    Lost,
    /// Cold starts per request.
    Cold,
    /// Mean latency, milliseconds.
    Mean,
    /// Median latency, milliseconds.
    P50,
    /// 90th percentile of latency, milliseconds.
    P90,
    /// 95th percentile of latency, milliseconds.
    P95,
    /// 99th percentile of latency, milliseconds.
    P99,
    /// 99.9th percentile of latency, milliseconds.
    P999,
    /// Largest latency, milliseconds.
    Max,
    /// 99th percentile of the wait before service, milliseconds.
    WaitP99,
    /// Mean number of ready instances.
    InstancesMean,
    /// Most instances ready at once.
    Instances,
    /// Hours of instances alive.
    InstanceHours,
    /// Memory of the instances times their hours.
    GbHours,
    /// Hours of nodes.
    NodeHours,
    /// Hours of GPUs.
    GpuHours,
    /// What it cost.
    Cost,
    /// Share of the ready instances' time in which they served nothing.
    Idle,
    /// Changes of the wanted number of instances.
    ScaleEvents,
}

/// What a figure is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A time, in milliseconds.
    Milliseconds,
    /// A share of a whole, from 0 to 1, which people write in per cent.
    Share,
    /// A number of things.
    Count,
    /// A number of hours.
    Hours,
    /// Money, in the currency of the prices.
    Money,
}

/// Every figure, the name that people write, and its unit.
const KNOWN: [(Figure, &str, Unit); 20] = [
    (Figure::Requests, "requests", Unit::Count),
    (Figure::Lost, "lost", Unit::Share),
    (Figure::Cold, "cold", Unit::Share),
    (Figure::Mean, "mean", Unit::Milliseconds),
    (Figure::P50, "p50", Unit::Milliseconds),
    (Figure::P90, "p90", Unit::Milliseconds),
    (Figure::P95, "p95", Unit::Milliseconds),
    (Figure::P99, "p99", Unit::Milliseconds),
    (Figure::P999, "p99.9", Unit::Milliseconds),
    (Figure::Max, "max", Unit::Milliseconds),
    (Figure::WaitP99, "wait-p99", Unit::Milliseconds),
    (Figure::InstancesMean, "instances-mean", Unit::Count),
    (Figure::Instances, "instances", Unit::Count),
    (Figure::InstanceHours, "instance-hours", Unit::Hours),
    (Figure::GbHours, "gb-hours", Unit::Hours),
    (Figure::NodeHours, "node-hours", Unit::Hours),
    (Figure::GpuHours, "gpu-hours", Unit::Hours),
    (Figure::Cost, "cost", Unit::Money),
    (Figure::Idle, "idle", Unit::Share),
    (Figure::ScaleEvents, "scale-events", Unit::Count),
];

impl Figure {
    /// All of them, in the order in which they are shown.
    pub fn all() -> impl Iterator<Item = Figure> {
        KNOWN.iter().map(|(figure, ..)| *figure)
    }

    /// Those that can be bounded from above: all but the traffic itself.
    pub fn bounded() -> impl Iterator<Item = Figure> {
        Figure::all().filter(|figure| *figure != Figure::Requests)
    }

    fn entry(self) -> (&'static str, Unit) {
        let found = KNOWN.iter().find(|(figure, ..)| *figure == self);
        found.map_or(("?", Unit::Count), |(_, name, unit)| (*name, *unit))
    }

    /// The name that people write.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// What it is counted in.
    pub fn unit(self) -> Unit {
        self.entry().1
    }

    /// The figure of that name, if there is one that can be bounded.
    pub fn find(name: &str) -> Option<Figure> {
        Figure::bounded().find(|figure| figure.name() == name)
    }

    /// The figure in a result, with the first seed where there are several.
    pub fn of(self, result: &SimResult) -> f64 {
        let requests = result.requests.max(1) as f64;
        match self {
            Figure::Requests => result.requests as f64,
            Figure::Lost => result.lost() as f64 / requests,
            Figure::Cold => result.cold_starts as f64 / requests,
            Figure::Mean => result.latency_ms.mean,
            Figure::P50 => result.latency_ms.p50,
            Figure::P90 => result.latency_ms.p90,
            Figure::P95 => result.latency_ms.p95,
            Figure::P99 => result.latency_ms.p99,
            Figure::P999 => result.latency_ms.p999,
            Figure::Max => result.latency_ms.max,
            Figure::WaitP99 => result.wait_ms.p99,
            Figure::InstancesMean => result.instances.mean,
            Figure::Instances => result.instances.max as f64,
            Figure::InstanceHours => result.instance_seconds / 3_600.0,
            Figure::GbHours => result.usage.gb_hours.unwrap_or(0.0),
            Figure::NodeHours => result.usage.node_hours.unwrap_or(0.0),
            Figure::GpuHours => result.usage.gpu_hours.unwrap_or(0.0),
            Figure::Cost => result.cost.unwrap_or(0.0),
            Figure::Idle => result.idle_share,
            Figure::ScaleEvents => result.scale_events as f64,
        }
    }

    /// Whether a result has it: memory, nodes, GPUs and prices are not always known.
    pub fn is_known(self, result: &SimResult) -> bool {
        match self {
            Figure::GbHours => result.usage.gb_hours.is_some(),
            Figure::NodeHours => result.usage.node_hours.is_some(),
            Figure::GpuHours => result.usage.gpu_hours.is_some(),
            Figure::Cost => result.cost.is_some(),
            _ => true,
        }
    }

    /// What settings are ranked by: what they cost, or without prices their instance-hours.
    pub fn price(result: &SimResult) -> Figure {
        if result.cost.is_some() { Figure::Cost } else { Figure::InstanceHours }
    }

    /// Its interval over the seeds of a result, where there were several.
    pub fn interval(self, result: &SimResult) -> Option<&Interval> {
        result.over_seeds.as_ref()?.figures.get(self.name())
    }

    /// How far it is from what the result was compared with, over the seeds, where there were
    /// several.
    pub fn difference(self, result: &SimResult) -> Option<&Interval> {
        result.over_seeds.as_ref()?.differences.get(self.name())
    }

    /// Its mean over all seeds of a result.
    pub fn mean(self, result: &SimResult) -> f64 {
        self.interval(result).map_or_else(|| self.of(result), |interval| interval.mean)
    }

    /// Its greatest value over all seeds of a result.
    pub fn worst(self, result: &SimResult) -> f64 {
        self.interval(result).map_or_else(|| self.of(result), |interval| interval.most)
    }
}

/// Every figure over the results of several seeds.
pub fn over_seeds(results: &[&SimResult]) -> OverSeeds {
    OverSeeds {
        seeds: results.iter().map(|result| result.seed).collect(),
        figures: by_name(|figure| Interval::of(&known(figure, results))),
        differences: BTreeMap::new(),
    }
}

/// How far `after` is from `before` in every figure, seed by seed; both must be of the same seeds.
pub fn differences(before: &[&SimResult], after: &[&SimResult]) -> BTreeMap<String, Interval> {
    let pair = |figure| Interval::of_differences(&known(figure, before), &known(figure, after));
    by_name(pair)
}

/// The figure in each result that has it.
fn known(figure: Figure, results: &[&SimResult]) -> Vec<f64> {
    let with = results.iter().filter(|result| figure.is_known(result));
    with.map(|result| figure.of(result)).collect()
}

fn by_name(interval: impl Fn(Figure) -> Option<Interval>) -> BTreeMap<String, Interval> {
    let named = |figure: Figure| Some((figure.name().to_owned(), interval(figure)?));
    Figure::all().filter_map(named).collect()
}
